// Threads for work that would block the loop: opening, reading, listing, writing files.
#pragma once

#include <cstddef>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/loop/event_loop.h"
#include "worker/base/job_queue.h"
#include "worker/base/task.h"

namespace egalaxyd {

struct LaneOptions {
  std::string name;  ///< of its threads, also used in messages; 15 bytes at most
  std::size_t threads = 1;
  std::size_t queueLimit = 1;  ///< queued jobs; any more are answered kBusy
};

/// Created in the worker, after the fork. All members belong to the loop's thread. The destructor
/// finishes the jobs that are running and discards the queued ones without an answer.
class Lane {
 public:
  Lane(EventLoop& loop, LaneOptions options);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  /// `work()` runs on one of the lane's threads and returns a Result. `done(result)` runs later, on
  /// the loop, with kIo if work() threw, or kBusy if the queue was full and work() never ran.
  /// `work` may touch only what it captured by value.
  template <class Work, class Done>
  void submit(Work work, Done done) {
    queue_.add(makeJob(std::move(work), std::move(done)));
  }

  /// `co_await lane.run(work)` gives the Result of work(), as submit() does. `work` may also touch
  /// what the awaiting coroutine holds, since its frame lives until the answer. Once the task is
  /// cancelled, work() no longer runs.
  template <class Work>
  Async<std::invoke_result_t<Work&>> run(Work work) {
    return asyncJob(std::move(work),
                    [this](std::unique_ptr<Job> job) { queue_.add(std::move(job)); });
  }

  /// Jobs whose answer has not been given yet.
  std::size_t pending() const { return queue_.pending(); }

 private:
  void runThread();

  JobQueue queue_;
  std::vector<std::jthread> threads_;
};

}  // namespace egalaxyd
