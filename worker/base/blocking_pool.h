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

#include "common/base/unique_function.h"
#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Made in the worker, after the fork. submit() belongs to the loop's thread. The destructor
/// finishes what has begun and forgets the rest.
class BlockingPool {
 public:
  BlockingPool(EventLoop& loop, std::size_t threads, std::size_t queueLimit);
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  /// `work()` runs on a pool thread, may touch only what it captured by value, and returns a
  /// Result. `done(result)` runs on the loop, later, whatever happens: kIo when work() threw, kBusy
  /// when the queue was full and it never ran.
  template <class Work, class Done>
  void submit(Work work, Done done) {
    using Outcome = std::invoke_result_t<Work&>;
    static_assert(std::is_constructible_v<Outcome, Error>, "work() returns a Result");
    enqueue([this, work = std::move(work), done = std::move(done)](Fate fate) mutable {
      complete([result = fate == Fate::kRun ? attempt<Outcome>(work) : Outcome(queueIsFull()),
                done = std::move(done)]() mutable { done(std::move(result)); });
    });
  }

  /// Runs `work` for whom nobody waits, from any thread. False when the queue is full: it is
  /// destroyed here.
  [[nodiscard]] bool run(UniqueFunction<void()> work);

  /// Jobs whose `done` has not run yet.
  std::size_t pending() const { return pending_; }

 private:
  enum class Fate { kRun, kRefused };
  using Job = UniqueFunction<void(Fate)>;

  template <class Outcome, class Work>
  static Outcome attempt(Work& work) {
    try {
      return work();
    } catch (const std::exception& e) {
      return Error{ErrorCode::kIo, e.what()};
    } catch (...) {  // a plug-in's
      return Error{ErrorCode::kIo, "an exception that is no std::exception"};
    }
  }
  static Error queueIsFull();
  void enqueue(Job job);
  void complete(UniqueFunction<void()> done);
  void runThread();
  void stop();

  EventLoop& loop_;
  const std::size_t queueLimit_;
  std::size_t pending_ = 0;  ///< loop thread only
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;  ///< guarded by mutex_
  bool stopping_ = false;  ///< guarded by mutex_
  std::vector<std::jthread> threads_;
};

}  // namespace egalaxyd
