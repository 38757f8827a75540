// A few threads for what would block the loop: opening, reading and listing files that are not in
// memory. Bounded: a full queue is an answer, not a wait.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "common/event_loop.h"
#include "common/unique_function.h"

namespace egalaxyd {

/// Made in the worker, after the fork. submit() belongs to the loop's thread. The destructor
/// finishes what has begun and forgets the rest.
class BlockingPool {
 public:
  BlockingPool(EventLoop& loop, std::size_t threads, std::size_t queueLimit);
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  /// `work()` runs on a pool thread and may touch only what it captured by value; `done(result)`
  /// runs on the loop with what work() returned. What work() throws is the Error of a Result; where
  /// it returns none, it is logged and `done` is destroyed uncalled, on the loop. False when the
  /// queue is full: nothing will run.
  template <class Work, class Done>
  [[nodiscard]] bool submit(Work work, Done done) {
    return enqueue([this, work = std::move(work), done = std::move(done)]() mutable {
      complete(
          [result = attempt(work), done = std::move(done)]() mutable { done(std::move(result)); });
    });
  }

  /// The same for work that nobody waits for, from any thread.
  [[nodiscard]] bool run(UniqueFunction<void()> work);

  /// Jobs whose `done` has not run yet.
  std::size_t pending() const { return pending_; }

 private:
  template <class Work, class Outcome = std::invoke_result_t<Work&>>
  static Outcome attempt(Work& work) {
    if constexpr (std::is_constructible_v<Outcome, Error>) {
      try {
        return work();
      } catch (const std::exception& e) {
        return Error{ErrorCode::kIo, e.what()};
      }
    } else {
      return work();
    }
  }
  bool enqueue(UniqueFunction<void()> job);
  void complete(UniqueFunction<void()> done);
  void runThread();
  void stop();

  EventLoop& loop_;
  const std::size_t queueLimit_;
  std::size_t pending_ = 0;  ///< loop thread only
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<UniqueFunction<void()>> queue_;  ///< guarded by mutex_
  bool stopping_ = false;                     ///< guarded by mutex_
  std::vector<std::jthread> threads_;
};

}  // namespace egalaxyd
