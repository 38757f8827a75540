#include "worker/base/rare_error.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

constexpr auto kMinute = std::chrono::minutes(1);

/// Of lines that were suppressed before this one.
std::string andMore(std::uint64_t& silent) {
  const std::uint64_t count = std::exchange(silent, 0);
  return count == 0 ? "" : fmt::format(" (and {} more since)", count);
}

}  // namespace

bool RareError::isDue() {
  const auto now = Clock::now();
  if (now < next_) {
    ++silent_;
    return false;
  }
  next_ = now + kMinute;
  return true;
}

void RareError::log(const Error& error) {
  if (isDue()) spdlog::error("{}{}", logQuote(error.message), andMore(silent_));
}

void RareError::warn(std::string_view text) {
  if (isDue()) spdlog::warn("{}{}", text, andMore(silent_));
}

void RareNote::log(std::string_view text) {
  const auto now = Clock::now();
  if (now >= next_) {
    next_ = now + kMinute;
    left_ = kMostNotes;
  }
  if (left_ == 0) {
    ++silent_;
    return;
  }
  --left_;
  spdlog::info("{}{}", text, andMore(silent_));
}

}  // namespace egalaxyd
