// Jobs on their way from the loop to the threads of a lane, and their answers on the way back.
#pragma once

#include <cstddef>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <thread>

#include "common/base/mutex.h"
#include "common/base/unique_function.h"
#include "common/loop/event_loop.h"
#include "worker/base/job.h"

namespace egalaxyd {

/// Bounded: when it is full, a new job is answered kBusy instead of being queued.
class JobQueue {
 public:
  /// `name` is for messages: "too many jobs wait for the <name>".
  JobQueue(EventLoop& loop, std::string name, std::size_t limit);
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // The loop's thread.

  /// The job is always answered later, with kBusy if the queue was full. Throws only
  /// std::bad_alloc, and then the job gets no answer.
  void add(std::unique_ptr<Job> job);
  /// Jobs that have not been answered yet.
  std::size_t pending() const { return *pending_; }

  // Any thread.

  /// Ends the current wait(), or the next one.
  void wake();
  /// No more jobs will come: ends all waits, now and later.
  void stop();
  /// Like stop(), but discards the queued jobs without an answer.
  void stopAndForget();

  // The lane's threads.

  /// Waits for the next job and takes it, in order of arrival; nullptr after stop().
  std::unique_ptr<Job> take();
  /// Takes all queued jobs, or the first of them, without waiting.
  Jobs takeAll(std::size_t most = std::numeric_limits<std::size_t>::max());
  /// Puts jobs that were taken before all others, whatever the limit.
  void putBack(Jobs jobs);
  /// Waits until there are jobs, wake() was called or `until` is reached. False after stop().
  bool wait(Clock::time_point until);
  /// Waits until `until`, wake() or stop(), whatever is queued.
  void pause(Clock::time_point until);
  /// Answers the jobs, on the loop.
  void deliver(Jobs jobs);

 private:
  EventLoop& loop_;
  const std::string name_;
  const std::size_t limit_;
  const std::shared_ptr<std::size_t> pending_;  ///< loop thread only; answers may outlive *this
  Mutex mutex_;
  Condition changed_;
  Condition resumed_;  ///< of those that pause, whom a new job does not concern
  std::deque<std::unique_ptr<Job>> jobs_ EGALAXYD_GUARDED_BY(mutex_);
  bool woken_ EGALAXYD_GUARDED_BY(mutex_) = false;
  bool stopping_ EGALAXYD_GUARDED_BY(mutex_) = false;
};

/// Starts a thread called `name` (15 bytes at most). It blocks all signals: the loop handles them.
std::jthread startLaneThread(std::string name, UniqueFunction<void()> main);

}  // namespace egalaxyd
