#include "ctl/client/progress.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <ostream>
#include <utility>

namespace egalaxyd::ctl {
namespace {

constexpr std::chrono::milliseconds kBetweenDrawings{200};
constexpr std::string_view kWipe = "\r\x1b[K";

}  // namespace

std::string bytesText(double bytes) {
  constexpr std::array<std::string_view, 4> kUnits{"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{:.0f} B", bytes);
  std::size_t unit = 0;
  for (bytes /= 1024; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  return fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string progressText(std::uint64_t done, std::optional<std::uint64_t> total,
                         std::chrono::milliseconds elapsed) {
  const auto bytes = static_cast<double>(done);
  std::string text = bytesText(bytes);
  if (total && *total > 0) {
    const auto all = static_cast<double>(*total);
    text += fmt::format(" of {}, {}%", bytesText(all), static_cast<int>(bytes / all * 100));
  }
  const auto milliseconds = static_cast<double>(std::max<std::int64_t>(elapsed.count(), 1));
  return text + fmt::format(", {}/s", bytesText(bytes * 1000 / milliseconds));
}

Progress::Progress(std::ostream& out, bool shown, std::optional<std::uint64_t> total)
    : out_(out), shown_(shown), total_(total) {}

Progress::~Progress() { wipe(); }

void Progress::wipe() {
  if (std::exchange(drawn_, false)) out_ << kWipe << std::flush;
}

void Progress::goOnFrom(std::string label, std::uint64_t done, std::uint64_t total) {
  label_ = std::move(label);
  done_ = done;
  total_ = total;
}

void Progress::advance(std::uint64_t bytes) {
  done_ += bytes;
  const auto now = Clock::now();
  if (!shown_ || now < next_) return;
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - began_);
  out_ << kWipe << label_ << progressText(done_, total_, elapsed) << std::flush;
  drawn_ = true;
  next_ = now + kBetweenDrawings;
}

}  // namespace egalaxyd::ctl
