// Jobs on their way from the loop to the threads of a lane, and their answers on the way back.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "common/base/mutex.h"
#include "common/base/unique_function.h"
#include "common/loop/event_loop.h"
#include "worker/base/job.h"

namespace egalaxyd {

/// Bounded: a full queue is an answer, not a wait.
class JobQueue {
 public:
  /// `name` is for messages: "too many jobs wait for the <name>".
  JobQueue(EventLoop& loop, std::string name, std::size_t limit);
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // The loop's thread.

  /// Its answer comes later, whatever happens: kBusy where the queue was full. Throws only
  /// std::bad_alloc, and then there will be no answer.
  void add(std::unique_ptr<Job> job);
  /// Jobs that have not been answered yet.
  std::size_t pending() const { return *pending_; }

  // Any thread.

  /// Ends a wait that has begun, or the next.
  void wake();
  /// There will be no more jobs: ends all waits, now and later.
  void stop();
  /// As stop(); what waits is forgotten, unanswered.
  void stopAndForget();

  // The lane's threads.

  /// The next job, in the order of their arrival; nullptr after stop(). Waits for it.
  std::unique_ptr<Job> take();
  /// All that wait, without waiting.
  Jobs takeAll();
  /// Until there are jobs, wake() was called, or it is `until`. False after stop().
  bool wait(Clock::time_point until);
  /// Has them answered on the loop.
  void deliver(Jobs jobs);

 private:
  EventLoop& loop_;
  const std::string name_;
  const std::size_t limit_;
  const std::shared_ptr<std::size_t> pending_;  ///< loop thread only; answers may outlive *this
  Mutex mutex_;
  Condition changed_;
  std::deque<std::unique_ptr<Job>> jobs_ EGALAXYD_GUARDED_BY(mutex_);
  bool woken_ EGALAXYD_GUARDED_BY(mutex_) = false;
  bool stopping_ EGALAXYD_GUARDED_BY(mutex_) = false;
};

/// A thread called `name` (15 bytes at most) that takes no signals: these are the loop's business.
std::jthread startLaneThread(std::string name, UniqueFunction<void()> main);

}  // namespace egalaxyd
