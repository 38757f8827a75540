#include "common/units.h"

#include <spdlog/fmt/fmt.h>

#include <array>
#include <charconv>
#include <limits>

namespace egalaxyd {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Largest first, as the texts prefer them.
constexpr std::array kTimeUnits{Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
                                Unit{"s", 1'000}, Unit{"ms", 1}};
constexpr std::array kSizeUnits{Unit{"GiB", 1ULL << 30}, Unit{"MiB", 1ULL << 20},
                                Unit{"KiB", 1ULL << 10}, Unit{"B", 1}};

constexpr std::uint64_t kLongestDuration = 36'500ULL * 86'400'000;
constexpr std::uint64_t kLargestSize = std::numeric_limits<std::int64_t>::max();

template <std::size_t N>
std::optional<std::uint64_t> parseWithUnit(std::string_view text, const std::array<Unit, N>& units,
                                           std::uint64_t most) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (number > most / unit.factor) return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

template <std::size_t N>
std::string textWithUnit(std::uint64_t value, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    if (value % unit.factor == 0) return fmt::format("{}{}", value / unit.factor, unit.name);
  }
  return {};
}

}  // namespace

std::optional<std::chrono::milliseconds> parseDuration(std::string_view text) {
  const auto value = parseWithUnit(text, kTimeUnits, kLongestDuration);
  if (!value) return std::nullopt;
  return std::chrono::milliseconds(static_cast<std::int64_t>(*value));
}

std::string durationText(std::chrono::milliseconds duration) {
  if (duration.count() <= 0) return "0s";
  return textWithUnit(static_cast<std::uint64_t>(duration.count()), kTimeUnits);
}

std::optional<std::uint64_t> parseSize(std::string_view text) {
  if (!text.empty() && text.back() >= '0' && text.back() <= '9') {
    return parseWithUnit(std::string(text) + "B", kSizeUnits, kLargestSize);
  }
  return parseWithUnit(text, kSizeUnits, kLargestSize);
}

std::string sizeText(std::uint64_t bytes) {
  return bytes == 0 ? "0B" : textWithUnit(bytes, kSizeUnits);
}

}  // namespace egalaxyd
