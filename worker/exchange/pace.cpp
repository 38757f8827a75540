#include "worker/exchange/pace.h"

#include <algorithm>

namespace egalaxyd {

void Pace::begin(std::optional<std::uint64_t> rate, Clock::duration window) {
  *this = Pace();
  rate_ = rate.value_or(0);
  window_ = window;
}

void Pace::await(Clock::time_point now) {
  settle(now);
  awaited_ = true;
}

void Pace::rest(Clock::time_point now) {
  settle(now);
  awaited_ = false;
}

void Pace::moved(std::uint64_t bytes, Clock::time_point now) {
  settle(now);
  windowBytes_ += bytes;
  if (rate_ == 0) return;
  const std::chrono::duration<double> worth(static_cast<double>(bytes) /
                                            static_cast<double>(rate_));
  if (worth >= behind_) {
    behind_ = {};
  } else {
    behind_ -= std::chrono::duration_cast<Clock::duration>(worth);
  }
}

std::optional<Clock::time_point> Pace::windowEnd() const {
  if (!awaited_ || rate_ == 0) return std::nullopt;
  return since_ + (window_ - inWindow_);
}

bool Pace::tooSlow(Clock::time_point now) {
  settle(now);
  if (rate_ == 0 || inWindow_ < window_) return false;
  const std::chrono::duration<double> window = window_;
  if (static_cast<double>(windowBytes_) < static_cast<double>(rate_) * window.count()) return true;
  inWindow_ = {};
  windowBytes_ = 0;
  return false;
}

void Pace::settle(Clock::time_point now) {
  const Clock::duration more = waiting(now);
  behind_ += more;
  waited_ += more;
  inWindow_ += more;
  since_ = now;
}

}  // namespace egalaxyd
