// Measures the CPU time that single calls cost this thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Reading the CPU clock is a system call, reading the wall clock is not, and on a busy machine the
/// two differ. So a call that is shorter than kStep counts by the wall clock. Only a longer one
/// counts by the CPU clock, whose last reading is at most kStep older than the call: no call counts
/// for more than its cost plus kStep. Loop thread only.
class CpuMeter {
 public:
  static constexpr auto kStep = std::chrono::milliseconds(2);

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
    if (began - lookedAt_ >= kStep) look(began);
    std::forward<Call>(call)();
    const Clock::time_point ended = clocks_.wall();
    const Clock::duration took = ended - began;
    if (took < kStep) return took;
    const Clock::duration before = cpu_;
    look(ended);
    return std::min(took, cpu_ - before);
  }

 private:
  static Clock::duration threadCpu() {
    timespec spent{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
  }
  void look(Clock::time_point now) {
    cpu_ = clocks_.cpu();
    lookedAt_ = now;
  }

  const Clocks clocks_;
  Clock::time_point lookedAt_{};
  Clock::duration cpu_{};  ///< at that time
};

}  // namespace egalaxyd
