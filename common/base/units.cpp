#include "common/base/units.h"

#include <spdlog/fmt/chrono.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
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

/// Takes the number that `text` begins with, of exactly `digits` digits and at most `most`.
std::optional<int> takeNumber(std::string_view& text, std::size_t digits, int most) {
  int number = 0;
  if (text.size() < digits) return std::nullopt;
  for (const char digit : text.substr(0, digits)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + (digit - '0');
  }
  text.remove_prefix(digits);
  return number <= most ? std::optional(number) : std::nullopt;
}

bool takeOneOf(std::string_view& text, std::string_view characters) {
  if (text.empty() || characters.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<std::chrono::sys_days> takeDate(std::string_view& text) {
  using std::chrono::day;
  using std::chrono::month;
  using std::chrono::year;
  const auto y = takeNumber(text, 4, 9999);
  const bool first = takeOneOf(text, "-");
  const auto m = takeNumber(text, 2, 12);
  const bool second = takeOneOf(text, "-");
  const auto d = takeNumber(text, 2, 31);
  if (!y || !first || !m || !second || !d || *y < 1970) return std::nullopt;
  const std::chrono::year_month_day date(year(*y), month(static_cast<unsigned>(*m)),
                                         day(static_cast<unsigned>(*d)));
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

/// "08:00" or, with a leap second at most, "08:00:60".
std::optional<std::chrono::seconds> takeTimeOfDay(std::string_view& text, bool withSeconds) {
  const auto hours = takeNumber(text, 2, 23);
  const bool first = takeOneOf(text, ":");
  const auto minutes = takeNumber(text, 2, 59);
  if (!hours || !first || !minutes) return std::nullopt;
  const auto time = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  if (!withSeconds) return time;
  if (!takeOneOf(text, ":")) return std::nullopt;
  const auto seconds = takeNumber(text, 2, 60);
  if (!seconds) return std::nullopt;
  return time + std::chrono::seconds(*seconds);
}

/// "Z" or "+01:00": what to add to come to UTC.
std::optional<std::chrono::seconds> takeOffset(std::string_view& text) {
  if (takeOneOf(text, "Zz")) return std::chrono::seconds(0);
  const bool ahead = text.starts_with('+');
  if (!takeOneOf(text, "+-")) return std::nullopt;
  const auto offset = takeTimeOfDay(text, false);
  if (!offset) return std::nullopt;
  return ahead ? -*offset : *offset;
}

}  // namespace

std::optional<std::chrono::sys_seconds> parseTime(std::string_view text) {
  const auto date = takeDate(text);
  if (!date) return std::nullopt;
  if (text.empty()) return *date;
  if (!takeOneOf(text, "Tt ")) return std::nullopt;
  const auto time = takeTimeOfDay(text, true);
  if (!time) return std::nullopt;
  if (takeOneOf(text, ".")) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0) return std::nullopt;
    text.remove_prefix(digits);
  }
  const auto offset = takeOffset(text);
  if (!offset || !text.empty()) return std::nullopt;
  return *date + *time + *offset;
}

std::string timeText(std::chrono::sys_seconds time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", time);
}

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
