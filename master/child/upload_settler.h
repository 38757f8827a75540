// Settles the uploads that workers had begun when they died, while the master goes on.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "common/loop/event_loop.h"
#include "common/shared/worker_id.h"
#include "master/child/query_runner.h"

namespace egalaxyd {

/// Master only, on its loop. One process at a time works for all workers that have died until then;
/// what fails is tried again, less and less often.
class UploadSettler {
 public:
  /// In a process of its own: what it did, for the log, or "".
  using Work = std::function<Result<std::string>(const DeadWorkers& dead)>;

  UploadSettler(EventLoop& loop, Work work);

  /// The id of a worker that is about to be forked.
  std::int64_t nextWorker() { return dead_.ids.next(); }
  /// For all before this master; blocks until it is done, or for `patience`: then it goes on beside
  /// the workers.
  void settleBeforeStart(std::chrono::milliseconds patience);
  void workerEnded(std::int64_t worker);

  /// In a forked child, as QueryRunner's.
  void closeInChild() { runner_.closeInChild(); }

 private:
  void settle();
  void onSettled(const DeadWorkers& dead, const Result<std::string>& text);

  const Work work_;
  DeadWorkers dead_;
  bool running_ = false;
  bool again_ = false;  ///< another worker died while it ran
  std::chrono::milliseconds pause_;
  QueryRunner runner_;
  Timer retry_;
};

}  // namespace egalaxyd
