// A worker's storage thread: its jobs share transactions (group commit), and the loop never waits
// for a disk or for another process's lock.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/loop/event_loop.h"
#include "common/shared/turn_queue.h"
#include "common/storage/storage.h"
#include "worker/base/job_queue.h"
#include "worker/base/task.h"

namespace egalaxyd {

struct StorageLaneOptions {
  std::size_t queueLimit = 4096;  ///< queued jobs; any more are answered kBusy
  std::size_t visitLimit = 4096;  ///< users with unwritten visits; those of more are not counted
  std::chrono::milliseconds visitDelay{1000};   ///< longest time from a visit to its record
  std::chrono::milliseconds reopenDelay{3000};  ///< between attempts to open the storage
  /// Called on the storage thread after all writes of a group and before their commit: makes
  /// durable what must be on the disk first. An error rolls the group back.
  std::function<Result<void>()> beforeCommit = [] { return Result<void>(); };
  /// Cross-process mutex, held from before a group of writes until its commit; nullptr if this is
  /// the only writer. It is first come, first served, which SQLite's own lock is not.
  Turn* turn = nullptr;
  /// How long to wait for `turn`: many times what a group takes. After that the holder is assumed
  /// to hang, and only SQLite's lock decides.
  std::chrono::milliseconds turnPatience{5000};
};

/// Made in the worker, after the fork; all members but lastError() belong to the loop's thread.
///
/// Group commit: all jobs that are queued once the lock is held run together, as one transaction
/// with one commit, and are answered when it is durable. Jobs that only read go first, in a
/// transaction of their own, so that the locks and failures of writers do not affect them. A job
/// that fails is rolled back alone. If the commit fails, every job of the group gets its error.
///
/// A storage that cannot be opened, or fails, is opened anew at most every `reopenDelay`; meanwhile
/// jobs are answered with its error. The destructor finishes the submitted jobs; a foreign lock
/// delays it by at most twice the turn's patience and the storage's busy timeout.
class StorageLane {
 public:
  /// Called on the storage thread.
  using Open = std::function<Result<std::unique_ptr<Storage>>()>;

  StorageLane(EventLoop& loop, Open open, StorageLaneOptions options = {});
  ~StorageLane();
  StorageLane(const StorageLane&) = delete;
  StorageLane& operator=(const StorageLane&) = delete;

  /// `work(Storage&)` returns a Result; it runs once at most, on the thread, within a transaction,
  /// and touches only the storage and what it captured by value. `done(result)` runs on the loop,
  /// later, whatever happens: kBusy when the queue was full and work() never ran.
  template <class Work, class Done>
  void submit(Work work, Done done) {
    add(Access::kWrite, makeJob(within(Access::kWrite, std::move(work)), std::move(done)));
  }
  /// Like submit(), for work that only reads: it needs no lock, and works even when the disk is
  /// full. It may overtake a submit() that has not been answered yet.
  template <class Work, class Done>
  void submitRead(Work work, Done done) {
    add(Access::kRead, makeJob(within(Access::kRead, std::move(work)), std::move(done)));
  }

  /// `co_await storage.write(work)` is the Result of work(Storage&), as submit() gives it; see
  /// Lane::run for what `work` may touch.
  template <class Work>
  auto write(Work work) {
    return ask(Access::kWrite, std::move(work));
  }
  /// The same for submitRead().
  template <class Work>
  auto read(Work work) {
    return ask(Access::kRead, std::move(work));
  }

  /// Records visits of the certificate's user as of now; they are written with the next group of
  /// writes, at most `visitDelay` later.
  void recordVisit(Visit visit);

  /// Jobs whose answer has not been given yet.
  std::size_t pending() const { return queue_.pending(); }

  /// Why the last work on the storage failed, for the operator; "" if it did not. Any thread.
  std::string lastError() const;

 private:
  struct Request final : Job {
    Request(Access a, std::unique_ptr<Job> j) : access(a), job(std::move(j)) {}
    void run() override { job->run(); }
    void fail(const Error& error) override { job->fail(error); }
    void answer() override { job->answer(); }
    const Access access;
    const std::unique_ptr<Job> job;
  };
  using Visits = std::map<std::string, Visit>;  ///< by certificate

  /// Wraps `work` in a nested transaction, which is rolled back alone if `work` fails.
  template <class Work>
  auto within(Access access, Work work) {
    return [this, access, work = std::move(work)]() mutable {
      return atomically(*storage_, access, [&] {
        auto inStorage = [&] { return work(*storage_); };
        return resultOf(inStorage);
      });
    };
  }
  template <class Work>
  auto ask(Access access, Work work) {
    return asyncJob(within(access, std::move(work)),
                    [this, access](std::unique_ptr<Job> job) { add(access, std::move(job)); });
  }

  void add(Access access, std::unique_ptr<Job> job);
  void runThread();
  Clock::time_point nextDuty() const;
  bool visitsAreDue(bool last) const;
  void sortJobs();
  void runGroup(Access access);
  void openStorage();
  Visits takeVisits();
  Result<void> addVisits(const Visits& visits);
  void putBack(Visits visits);
  std::optional<Error> trouble() const;
  void note(const std::optional<Error>& trouble, Access access);

  const Open open_;
  const StorageLaneOptions options_;
  JobQueue queue_;

  mutable Mutex mutex_;
  Visits visits_ EGALAXYD_GUARDED_BY(mutex_);
  Clock::time_point visitsDue_ EGALAXYD_GUARDED_BY(mutex_);  ///< valid while visits_ is not empty
  std::optional<Error> trouble_ EGALAXYD_GUARDED_BY(mutex_);

  // Used only by the storage thread.
  Jobs readers_;
  Jobs writers_;
  std::unique_ptr<Storage> storage_;
  bool reopenNeeded_ = false;        ///< storage_ failed in a way that opening it anew may fix
  Access troubled_ = Access::kRead;  ///< the access whose group set trouble_
  Clock::time_point nextOpen_{};
  Clock::time_point nextComplaint_{};
  bool complained_ = false;  ///< an error was logged, but not yet that it is over

  std::jthread thread_;
};

}  // namespace egalaxyd
