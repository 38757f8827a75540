// Waiting for states, never for time.
#pragma once

#include <poll.h>

#include <algorithm>
#include <chrono>

namespace egalaxyd {

/// How long a test waits for what must happen: far beyond what a busy machine with sanitizers
/// needs.
inline constexpr std::chrono::milliseconds kPatience{30'000};

/// A point in time after which a test gives up.
class Deadline {
 public:
  explicit Deadline(std::chrono::milliseconds in = kPatience)
      : at_(std::chrono::steady_clock::now() + in) {}

  bool passed() const { return std::chrono::steady_clock::now() >= at_; }
  /// What is left, as poll() wants it.
  int leftMs() const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        at_ - std::chrono::steady_clock::now());
    return static_cast<int>(std::max<std::chrono::milliseconds::rep>(0, left.count()));
  }

 private:
  std::chrono::steady_clock::time_point at_;
};

/// Asks `state` again and again until it holds; false when `patience` ran out.
template <class State>
bool eventually(State state, std::chrono::milliseconds patience = kPatience) {
  const Deadline deadline(patience);
  while (!state()) {
    if (deadline.passed()) return false;
    ::poll(nullptr, 0, 10);
  }
  return true;
}

}  // namespace egalaxyd
