// Whether a client keeps up with the least rate that is asked of it. Pure bookkeeping.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Counts only time in which the server waits for the client. Two measures: over each window the
/// least rate must have been reached, and behind() tells at any moment how late the client is.
class Pace {
 public:
  /// A new task begins. `rate`: bytes per second, nullopt or 0: bytes count for nothing, each
  /// moment of waiting makes the client later.
  void begin(std::optional<std::uint64_t> rate, Clock::duration window);
  /// The server begins, or goes on, to wait for the client.
  void await(Clock::time_point now);
  /// The server has something to do itself.
  void rest(Clock::time_point now);
  void moved(std::uint64_t bytes, Clock::time_point now);

  bool awaited() const { return awaited_; }
  /// By how much time the client is behind the least rate; early bytes are no credit.
  Clock::duration behind(Clock::time_point now) const { return behind_ + waiting(now); }
  /// All the time in which this client was waited for since begin().
  Clock::duration waited(Clock::time_point now) const { return waited_ + waiting(now); }

  /// While awaited and with a rate: when the window is over.
  std::optional<Clock::time_point> windowEnd() const;
  /// Whether the window is over and too little has moved in it. A good one is followed by the next.
  bool tooSlow(Clock::time_point now);

 private:
  Clock::duration waiting(Clock::time_point now) const {
    return awaited_ ? now - since_ : Clock::duration::zero();
  }
  void settle(Clock::time_point now);

  std::uint64_t rate_ = 0;
  Clock::duration window_{};
  bool awaited_ = false;
  Clock::time_point since_{};  ///< what follows is settled up to here
  Clock::duration behind_{};
  Clock::duration waited_{};
  Clock::duration inWindow_{};  ///< waited in this window
  std::uint64_t windowBytes_ = 0;
};

}  // namespace egalaxyd
