// Which of several applications is called next. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "common/loop/event_loop.h"

namespace egalaxyd {

/// They take turns. One that has refused three times in a row is set aside for a while, which
/// doubles up to a minute each time it fails again; where all are, the one that was set aside first
/// is tried.
class UpstreamTurns {
 public:
  UpstreamTurns(std::size_t count, Clock::duration retryAfter)
      : upstreams_(count), retryAfter_(retryAfter) {}

  /// All of them, in the order in which a request tries them.
  std::vector<std::size_t> order(Clock::time_point now);
  void answered(std::size_t upstream);
  void refused(std::size_t upstream, Clock::time_point now);
  bool isAside(std::size_t upstream, Clock::time_point now) const {
    return upstreams_[upstream].asideUntil > now;
  }

 private:
  struct Upstream {
    int refusals = 0;  ///< in a row
    Clock::duration pause{};
    Clock::time_point asideUntil{};
  };
  std::vector<Upstream> upstreams_;
  const Clock::duration retryAfter_;
  std::size_t next_ = 0;
};

}  // namespace egalaxyd
