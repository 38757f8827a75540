// The one thread of a worker that uses the storage, so that the loop never waits for a disk or for
// another process's lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/loop/event_loop.h"
#include "common/shared/turn_queue.h"
#include "common/storage/storage.h"

namespace egalaxyd {

struct StorageThreadOptions {
  std::size_t queueLimit = 4096;  ///< jobs; more are kBusy
  std::size_t visitLimit = 4096;  ///< users whose visits wait to be written; more are not counted
  std::chrono::milliseconds visitDelay{1000};   ///< at most, from a visit to its record
  std::chrono::milliseconds reopenDelay{3000};  ///< between attempts to open the storage
  /// Called on the thread when all of a group's writes have run: what else must be on the disk
  /// before they are. An error takes the group back.
  std::function<Result<void>()> beforeCommit = [] { return Result<void>(); };
  /// A queue for writers of several processes, held from before a group of writes until its commit;
  /// nullptr: this is the only writer. First come, first served, which SQLite's own lock is not.
  Turn* turn = nullptr;
  /// Many times what a group takes. A holder that takes longer is assumed to hang, and SQLite's
  /// lock alone decides.
  std::chrono::milliseconds turnPatience{5000};
};

/// Made in the worker, after the fork; submit() and recordVisit() belong to the loop's thread.
///
/// All jobs that wait once the lock is there are run together, as one transaction with one commit;
/// their answers are given once that is durable. Those that only read go first, in a transaction of
/// their own, so that writers' locks and failures are not theirs. A job that fails is taken back
/// alone. When the commit fails, every job of the group gets its error.
///
/// A storage that cannot be opened, or fails, is opened anew every `reopenDelay`; meanwhile jobs
/// are answered with its error. The destructor finishes what was submitted; how long a foreign
/// lock can hold that up is up to the turn's patience and the storage's busy timeout, which count
/// at most twice.
class StorageThread {
 public:
  /// Called on the thread.
  using Open = std::function<Result<std::unique_ptr<Storage>>()>;

  StorageThread(EventLoop& loop, Open open, StorageThreadOptions options = {});
  ~StorageThread();
  StorageThread(const StorageThread&) = delete;
  StorageThread& operator=(const StorageThread&) = delete;

  /// `work(Storage&)` returns a Result; it runs once at most, on the thread, within a transaction,
  /// and touches only the storage and what it captured by value. `done(result)` runs on the loop,
  /// later, whatever happens: kBusy when the queue was full and work() never ran.
  template <class Work, class Done>
  void submit(Work work, Done done) {
    enqueue(
        std::make_unique<TypedJob<Work, Done>>(Access::kWrite, std::move(work), std::move(done)));
  }
  /// As submit(), for work that only reads: it needs no lock, and works on when the disk is full.
  /// It may overtake a submit() that has not been answered yet.
  template <class Work, class Done>
  void submitRead(Work work, Done done) {
    enqueue(
        std::make_unique<TypedJob<Work, Done>>(Access::kRead, std::move(work), std::move(done)));
  }

  /// Counts visits of the certificate's user, now; written with the next group or on its own.
  void recordVisit(Visit visit);

  /// Jobs whose `done` has not run yet. Loop thread only.
  std::size_t pending() const { return *pending_; }

  /// Why the storage did not do what it was last asked for, for the operator; "" when it did. Any
  /// thread.
  std::string lastError() const;

 private:
  struct Job {
    explicit Job(Access a) : access(a) {}
    virtual ~Job() = default;
    virtual void run(Storage& storage) = 0;
    virtual void fail(const Error& error) = 0;
    virtual void answer() = 0;
    const Access access;
  };
  using Jobs = std::vector<std::unique_ptr<Job>>;

  template <class Work, class Done>
  struct TypedJob final : Job {
    TypedJob(Access a, Work w, Done d) : Job(a), work(std::move(w)), done(std::move(d)) {}
    void run(Storage& storage) override {
      result.emplace(atomically(storage, access, [&] { return attempt(storage); }));
      work.reset();
    }
    std::invoke_result_t<Work&, Storage&> attempt(Storage& storage) {
      try {
        return (*work)(storage);
      } catch (const std::exception& e) {
        return Error{ErrorCode::kIo, e.what()};
      }
    }
    void fail(const Error& error) override {
      work.reset();
      result.emplace(error);
    }
    void answer() override { done(std::move(*result)); }

    std::optional<Work> work;  ///< what it holds is freed on the thread
    Done done;
    std::optional<std::invoke_result_t<Work&, Storage&>> result;
  };

  using Visits = std::map<std::string, Visit>;  ///< by certificate

  void enqueue(std::unique_ptr<Job> job);
  void runThread();
  void runGroup(Access access);
  Jobs takeJobs(Access access);
  void openStorage();
  Visits takeVisits();
  Result<void> addVisits(const Visits& visits);
  void putBack(Visits visits);
  void note(const std::optional<Error>& trouble, Access access);
  void deliver(Jobs jobs);

  EventLoop& loop_;
  const Open open_;
  const StorageThreadOptions options_;
  const std::shared_ptr<std::size_t> pending_;  ///< loop thread only; answers may outlive *this

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Jobs readers_;                  ///< guarded by mutex_
  Jobs writers_;                  ///< guarded by mutex_
  Visits visits_;                 ///< guarded by mutex_
  Clock::time_point visitsDue_;   ///< guarded by mutex_; when there are visits
  bool stopping_ = false;         ///< guarded by mutex_
  std::optional<Error> trouble_;  ///< guarded by mutex_; written by the thread only

  // The thread's own.
  std::unique_ptr<Storage> storage_;
  bool reopenNeeded_ = false;        ///< storage_ failed in a way that opening it anew may mend
  Access troubled_ = Access::kRead;  ///< what trouble_ came from
  Clock::time_point nextOpen_{};
  Clock::time_point nextComplaint_{};
  bool complained_ = false;  ///< the log says that the storage is in trouble

  std::jthread thread_;
};

}  // namespace egalaxyd
