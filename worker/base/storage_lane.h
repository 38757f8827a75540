// A worker's storage threads: their jobs share transactions (group commit), and the loop never
// waits for a disk, for another process's lock or for a database that is away.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
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

/// What is different with an engine that several hosts share.
struct SharedEngineRules {
  std::size_t threads = 2;      ///< one runs a group while the other commits its own
  std::size_t groupLimit = 32;  ///< jobs in one transaction: each key is a lock in the database
  std::chrono::milliseconds patience{
      45'000};  ///< how long a job may wait for an engine that is away
  std::chrono::milliseconds retryDelay{250};  ///< between attempts meanwhile
  /// How often a thread without work looks whether the engine has forgotten what it acknowledged.
  std::chrono::milliseconds lookEvery{10'000};
};

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
  std::optional<SharedEngineRules> shared = {};
  /// Called on a storage thread when a shared engine that was away is there again: how long it was.
  std::function<void(Clock::duration)> wasAway = [](Clock::duration) {};
};

/// Made in the worker, after the fork; all members but lastError() and enginesUp() belong to the
/// loop's thread.
///
/// Group commit: all jobs that are queued once the lock is held run together, as one transaction
/// with one commit, and are answered when it is durable. Jobs that only read go first, in a
/// transaction of their own, so that the locks and failures of writers do not affect them. A job
/// that fails is rolled back alone. If the commit fails, every job of the group gets its error.
///
/// A storage that cannot be opened, or fails, is opened anew at most every `reopenDelay`; meanwhile
/// jobs are answered with its error. The destructor finishes the submitted jobs; a foreign lock
/// delays it by at most twice the turn's patience and the storage's busy timeout.
///
/// With an engine that several hosts share, each thread has a storage of its own, and a group is
/// what waited when it began, since its keys are taken first. A group of which nothing happened
/// (kAgain), and one whose engine is away (kBusy), goes back to the queue and runs again, on
/// whichever thread: after kAgain each of its jobs by itself and behind what waits, so that none
/// waits for what only another wants. A job that has waited for longer than the patience is
/// answered kIo. kUnknown is answered as it is: nobody can tell whether the group happened.
class StorageLane {
 public:
  /// Called on a storage thread, with its number.
  using Open = std::function<Result<std::unique_ptr<Storage>>(std::size_t)>;

  StorageLane(EventLoop& loop, Open open, StorageLaneOptions options = {});
  ~StorageLane();
  StorageLane(const StorageLane&) = delete;
  StorageLane& operator=(const StorageLane&) = delete;

  /// How long a job may wait for an engine that is away; zero where there is one host alone.
  std::chrono::milliseconds patience() const {
    return options_.shared ? options_.shared->patience : std::chrono::milliseconds::zero();
  }

  /// `work(Storage&)` returns a Result; it runs on a thread, within a transaction, and touches only
  /// the storage and what it captured by value. It may run several times, of which all but the last
  /// leave no trace in the storage. `done(result)` runs on the loop, later, whatever happens: kBusy
  /// when the queue was full and work() never ran. `keys`: what it changes, see keys().
  template <class Work, class Done>
  void submit(Work work, Done done, StorageKeys keys = {}) {
    add(Access::kWrite, makeJob(within(Access::kWrite, std::move(work)), std::move(done)),
        std::move(keys));
  }
  /// Like submit(), for work that only reads: it needs no lock, and works even when the disk is
  /// full. It may overtake a submit() that has not been answered yet.
  template <class Work, class Done>
  void submitRead(Work work, Done done) {
    add(Access::kRead, makeJob(within(Access::kRead, std::move(work)), std::move(done)), {});
  }

  /// `co_await storage.write(work)` is the Result of work(Storage&), as submit() gives it; see
  /// Lane::run for what `work` may touch.
  template <class Work>
  auto write(Work work, StorageKeys keys = {}) {
    return ask(Access::kWrite, std::move(work), std::move(keys));
  }
  /// The same for submitRead().
  template <class Work>
  auto read(Work work) {
    return ask(Access::kRead, std::move(work), {});
  }

  /// What a job changes, for an engine that locks by it: `make()` is not called for another.
  template <class Make>
  StorageKeys keys(Make make) const {
    return options_.shared ? make() : StorageKeys();
  }

  /// Records visits of the certificate's user as of now; they are written with the next group of
  /// writes, or in a commit of their own, at most `visitDelay` later.
  void recordVisit(Visit visit);

  /// Nobody waits any longer for an engine that is away.
  void giveUp();

  /// Jobs whose answer has not been given yet.
  std::size_t pending() const { return queue_.pending(); }

  /// Why the last work on the storage failed, for the operator; "" if it did not. Any thread.
  std::string lastError() const;
  /// Threads whose last work on the storage did not fail. Any thread.
  std::size_t enginesUp() const;

 private:
  struct Request final : Job {
    Request(Access a, std::unique_ptr<Job> j, StorageKeys k, Clock::time_point u)
        : access(a), job(std::move(j)), keys(std::move(k)), until(u) {}
    void run() override { job->run(); }
    void settle() override { job->settle(); }
    void fail(const Error& error) override { job->fail(error); }
    void answer() override { job->answer(); }
    const Access access;
    const std::unique_ptr<Job> job;
    const StorageKeys keys;
    const Clock::time_point until;  ///< it may wait for an engine that is away
    bool alone = false;             ///< somebody was in the way of its last group
  };
  using Visits = std::map<std::string, Visit>;  ///< by certificate

  /// A thread's own.
  struct Engine {
    explicit Engine(std::size_t n) : number(n) {}
    const std::size_t number;
    Jobs readers = {};
    Jobs writers = {};
    std::unique_ptr<Storage> storage = nullptr;
    bool reopenNeeded = false;        ///< it failed in a way that opening it anew may fix
    Access troubled = Access::kRead;  ///< the access whose group set its trouble
    Clock::time_point nextOpen = {};
    unsigned repeats = 0;  ///< groups that were put back, without one in between that was not
    Clock::time_point nextGroup = {};
    Clock::time_point nextLook = {};
    std::optional<Clock::time_point> awaySince = {};
  };

  /// Wraps `work` in a nested transaction, which is rolled back alone if `work` fails.
  template <class Work>
  static auto within(Access access, Work work) {
    return [access, work = std::move(work)]() mutable {
      return atomically(*storage_, access, [&] {
        auto inStorage = [&] { return work(*storage_); };
        return resultOf(inStorage);
      });
    };
  }
  template <class Work>
  auto ask(Access access, Work work, StorageKeys keys) {
    return asyncJob(within(access, std::move(work)),
                    [this, access, keys = std::move(keys)](std::unique_ptr<Job> job) mutable {
                      add(access, std::move(job), std::move(keys));
                    });
  }

  void add(Access access, std::unique_ptr<Job> job, StorageKeys keys);
  void runThread(Engine& engine);
  Clock::time_point nextDuty(const Engine& engine) const;
  bool looksAgain(const Engine& engine) const;
  bool visitsAreDue(bool last) const;
  bool lookIsDue(const Engine& engine) const;
  void sortJobs(Engine& engine, bool all);
  void runGroup(Engine& engine, Access access);
  Result<void> begin(Engine& engine, Access access, const Jobs& jobs);
  Result<void> finish(Engine& engine, Access access, const Jobs& jobs);
  bool mayRunAgain(const Result<void>& done) const;
  void runAgainLater(Engine& engine, Jobs jobs, const Error& error);
  void openStorage(Engine& engine);
  Visits takeVisits();
  Result<void> addVisits(Storage& storage, const Visits& visits);
  void writeVisits(Engine& engine);
  void look(Engine& engine);
  void putBack(Visits visits);
  std::chrono::milliseconds pauseBefore(unsigned repeat, const Error& error) const;
  std::optional<Error> troubleOf(const Engine& engine) const;
  void note(Engine& engine, const std::optional<Error>& trouble, Access access);
  void complain(const std::optional<Error>& trouble) EGALAXYD_REQUIRES(mutex_);

  /// Of the storage thread that looks.
  inline static thread_local Storage* storage_ = nullptr;

  const Open open_;
  const StorageLaneOptions options_;
  JobQueue queue_;
  std::atomic<bool> givenUp_ = false;

  mutable Mutex mutex_;
  Visits visits_ EGALAXYD_GUARDED_BY(mutex_);
  Clock::time_point visitsDue_ EGALAXYD_GUARDED_BY(mutex_);  ///< valid while visits_ is not empty
  Clock::time_point nextComplaint_ EGALAXYD_GUARDED_BY(mutex_);
  /// An error was logged, but not yet that it is over.
  bool complained_ EGALAXYD_GUARDED_BY(mutex_) = false;
  std::vector<std::optional<Error>> troubles_ EGALAXYD_GUARDED_BY(mutex_);  ///< of each engine

  std::deque<Engine> engines_;  ///< each its thread's own

  std::vector<std::jthread> threads_;
};

}  // namespace egalaxyd
