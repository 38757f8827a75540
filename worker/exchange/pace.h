// Whether a client keeps up with the minimum rate asked of it. Pure bookkeeping.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Counts only time in which the server waits for the client. Two measures: tooSlow() checks the
/// rate over whole windows, behind() tells at any moment how late the client is.
class Pace {
 public:
  /// Starts anew. `rate`: bytes per second; nullopt or 0: no rate, bytes earn nothing, and all
  /// waiting makes the client later.
  void begin(std::optional<std::uint64_t> rate, Clock::duration window);
  /// The server begins, or goes on, to wait for the client.
  void await(Clock::time_point now);
  /// The server stops waiting for the client, since it has work itself.
  void rest(Clock::time_point now);
  void moved(std::uint64_t bytes, Clock::time_point now);

  bool awaited() const { return awaited_; }
  /// How far the client is behind the minimum rate, as time; early bytes earn no credit.
  Clock::duration behind(Clock::time_point now) const { return behind_ + waiting(now); }
  /// All time since begin() in which the server waited for this client.
  Clock::duration waited(Clock::time_point now) const { return waited_ + waiting(now); }

  /// When the window ends; nullopt unless awaited and with a rate.
  std::optional<Clock::time_point> windowEnd() const;
  /// Whether the window is over with too few bytes. After a good one the next begins.
  bool tooSlow(Clock::time_point now);

 private:
  Clock::duration waiting(Clock::time_point now) const {
    return awaited_ ? now - since_ : Clock::duration::zero();
  }
  void settle(Clock::time_point now);

  std::uint64_t rate_ = 0;
  Clock::duration window_{};
  bool awaited_ = false;
  Clock::time_point since_{};  ///< the members below are up to date as of then
  Clock::duration behind_{};
  Clock::duration waited_{};
  Clock::duration inWindow_{};  ///< time waited in this window
  std::uint64_t windowBytes_ = 0;
};

}  // namespace egalaxyd
