// Wakes a task that waits for one of several things: bytes, a deadline, the end of its request.
#pragma once

#include <memory>
#include <utility>

#include "common/loop/event_loop.h"
#include "worker/base/task.h"

namespace egalaxyd {

/// Held by the one task that waits for it. Loop thread only.
class Alarm {
 public:
  explicit Alarm(EventLoop& loop) : loop_(loop), state_(std::make_shared<State>()) {}

  /// The task goes on at the end of this turn of the loop; if it does not wait now, its next wait
  /// ends at once.
  void ring() {
    state_->rung = true;
    if (!state_->waiting || std::exchange(state_->posted, true)) return;
    loop_.defer([state = std::weak_ptr(state_)] {
      const auto held = state.lock();
      if (!held) return;
      held->posted = false;
      held->rung = false;
      if (auto waiting = std::exchange(held->waiting, {})) waiting(Result<void>());
    });
  }

  /// Waits for ring(); an Error: the task is cancelled.
  Async<Result<void>> wait() {
    return async<Result<void>>([this](UniqueFunction<void(Result<void>)> done) {
      if (std::exchange(state_->rung, false)) return done({});
      state_->waiting = std::move(done);
    });
  }

 private:
  struct State {
    UniqueFunction<void(Result<void>)> waiting;
    bool rung = false;
    bool posted = false;  ///< the deferred call is under way
  };
  EventLoop& loop_;
  std::shared_ptr<State> state_;
};

}  // namespace egalaxyd
