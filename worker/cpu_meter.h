// What single calls cost this thread in CPU time.
#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "common/event_loop.h"

namespace egalaxyd {

/// Reading the CPU clock is a system call, reading the wall clock is none, and on a busy machine
/// the two differ. So the CPU clock is read only for some seconds after a call that took long by
/// the wall clock; until then a call counts as what the wall clock says, but never as long. Loop
/// thread only.
class CpuMeter {
 public:
  static constexpr auto kLong = std::chrono::milliseconds(2);
  static constexpr auto kExactFor = std::chrono::seconds(10);

  struct Clocks {
    Clock::time_point (*wall)();
    Clock::duration (*cpu)();
  };

  CpuMeter() : CpuMeter({&Clock::now, &threadCpu}) {}
  /// For tests.
  explicit CpuMeter(Clocks clocks) : clocks_(clocks) {}

  /// Calls `call` and returns what it cost.
  template <class Call>
  Clock::duration measure(Call&& call) {
    const Clock::time_point began = clocks_.wall();
    const bool exact = began < exactUntil_;
    const Clock::duration before = exact ? clocks_.cpu() : Clock::duration::zero();
    std::forward<Call>(call)();
    const Clock::time_point ended = clocks_.wall();
    const Clock::duration took = ended - began;
    if (took >= kLong) exactUntil_ = ended + kExactFor;
    return exact ? clocks_.cpu() - before : std::min<Clock::duration>(took, kLong);
  }

 private:
  static Clock::duration threadCpu() {
    timespec spent{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
  }

  const Clocks clocks_;
  Clock::time_point exactUntil_{};
};

}  // namespace egalaxyd
