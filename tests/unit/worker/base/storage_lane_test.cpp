#include "worker/base/storage_lane.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <filesystem>
#include <future>
#include <optional>
#include <string>

#include "tests/support/deadline.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/memory_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

using Opened = Result<std::unique_ptr<Storage>>;

Opened openFaulty(int failAt = 0) {
  return std::unique_ptr<Storage>(std::make_unique<FaultyStorage>(makeMemoryStorage(), failAt));
}

/// Once nothing writes on its own.
const StorageLaneOptions kPatient{.visitDelay = std::chrono::hours(1),
                                  .reopenDelay = std::chrono::hours(1)};

class StorageLaneTest : public testing::Test {
 protected:
  void start(std::function<Opened()> open, StorageLaneOptions options = kPatient) {
    thread_.emplace(
        loop_, [open = std::move(open)](std::size_t) { return open(); }, options);
  }

  void turn() {
    loop_.post([this] { loop_.stop(); });
    loop_.run();
  }
  void runUntilIdle() {
    while (thread_->pending() > 0) turn();
  }

  /// The result of a job that is submitted alone.
  template <class Work>
  auto ask(Work work) {
    std::optional<std::invoke_result_t<Work&, Storage&>> result;
    thread_->submit(std::move(work), [&](auto r) { result = std::move(r); });
    runUntilIdle();
    return std::move(*result);
  }

  std::string makeUser() {
    return must(ask([](Storage& storage) {
      return storage.resolveUser(fingerprint("a"), fingerprint("1"), at(1));
    }));
  }

  static auto write(std::string user, std::string key) {
    return [user, key](Storage& storage) { return storage.writeMetadata(user, key, "v", at(1)); };
  }

  /// The thread does nothing else until it is released: what is submitted meanwhile waits together.
  std::promise<void> jam() {
    std::promise<void> release;
    std::promise<void> begun;
    auto hasBegun = begun.get_future();
    thread_->submitRead(
        [begun = std::move(begun), released = release.get_future()](Storage&) mutable {
          begun.set_value();
          released.wait();
          return Result<void>();
        },
        [](Result<void>) {});
    hasBegun.wait();
    return release;
  }

  /// The first transaction waits for `unlocked_`, as for another process's lock.
  void startLocked(int failAt = 0) {
    const auto waitOnce = [this, waited = false](Access) mutable {
      if (std::exchange(waited, true)) return;
      waits_.set_value();
      unlocked_.get_future().wait();
    };
    start([=]() -> Opened {
      auto storage = std::make_unique<FaultyStorage>(makeMemoryStorage(), failAt);
      storage->whileLocked(waitOnce);
      return std::unique_ptr<Storage>(std::move(storage));
    });
  }

  int commits() {
    return must(ask([](Storage& storage) {
      return Result<int>(dynamic_cast<FaultyStorage&>(storage).commits());
    }));
  }

  TempDir dir_;
  EventLoop loop_;
  std::promise<void> waits_;     ///< of startLocked(): kept once it does
  std::promise<void> unlocked_;  ///< the test's to keep
  std::optional<StorageLane> thread_;
};

TEST_F(StorageLaneTest, WorksElsewhereAndAnswersOnTheLoop) {
  start([] { return openFaulty(); });
  std::thread::id answered;
  std::thread::id worked;
  thread_->submit([](Storage&) { return Result<std::thread::id>(std::this_thread::get_id()); },
                  [&, token = std::make_unique<int>()](Result<std::thread::id> id) {
                    worked = *id;
                    answered = std::this_thread::get_id();
                  });
  EXPECT_EQ(thread_->pending(), 1u);
  runUntilIdle();
  EXPECT_NE(worked, std::this_thread::get_id());
  EXPECT_EQ(answered, std::this_thread::get_id());
}

TEST_F(StorageLaneTest, FreesWhatAJobHeldBeforeItsAnswer) {
  start([] { return openFaulty(); });
  const auto held = std::make_shared<int>(1);
  thread_->submit([held](Storage&) { return Result<void>(); },
                  [&](Result<void>) { EXPECT_EQ(held.use_count(), 1); });
  runUntilIdle();
}

TEST_F(StorageLaneTest, CommitsWhatWaitsTogetherOnce) {
  start([] { return openFaulty(); });
  const std::string user = makeUser();
  const int before = commits();
  auto release = jam();
  std::vector<int> order;
  for (int i = 0; i < 20; ++i) {
    thread_->submit(write(user, std::to_string(i)), [&, i](Result<void> done) {
      EXPECT_TRUE(done);
      order.push_back(i);
    });
  }
  release.set_value();
  runUntilIdle();
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order.size(), 20u);
  // The count's own job, the jam, and one for the twenty.
  EXPECT_EQ(commits() - before, 3);
}

TEST_F(StorageLaneTest, CommitsWhatComesWhileItWaitsForTheLockWithTheRest) {
  const auto commitsUntilNow = [](Storage& storage) {
    return Result<int>(dynamic_cast<FaultyStorage&>(storage).commits());
  };
  startLocked();
  int seen = 0;
  const auto done = [&](Result<int> commits) {
    EXPECT_EQ(*commits, 0);
    ++seen;
  };
  thread_->submit(commitsUntilNow, done);
  waits_.get_future().wait();
  thread_->submit(commitsUntilNow, done);
  unlocked_.set_value();
  runUntilIdle();
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(must(ask(commitsUntilNow)), 1);
}

TEST_F(StorageLaneTest, AWaitInVainFailsOnlyThoseWhoWaitedFromItsBeginning) {
  startLocked(1);
  std::string outcome;
  const auto nothing = [](Storage&) { return Result<void>(); };
  const auto done = [&](Result<void> result) { outcome += result ? '+' : '-'; };
  thread_->submit(nothing, done);
  waits_.get_future().wait();
  thread_->submit(nothing, done);
  unlocked_.set_value();
  runUntilIdle();
  EXPECT_EQ(outcome, "-+");
}

TEST_F(StorageLaneTest, HasTheTurnWhileItWrites) {
  TurnQueue queue{};
  Turn mine(queue, 0);
  Turn others(queue, 1);
  const auto isFree = [&] {
    const std::unique_lock lock(others, std::chrono::milliseconds(0));
    return lock.owns_lock();
  };
  StorageLaneOptions options = kPatient;
  options.turn = &mine;
  start([] { return openFaulty(); }, options);
  std::promise<void> writes;
  std::promise<void> goesOn;
  thread_->submit(
      [&](Storage&) {
        writes.set_value();
        goesOn.get_future().wait();
        return Result<void>();
      },
      [](Result<void> done) { EXPECT_TRUE(done); });
  writes.get_future().wait();
  EXPECT_FALSE(isFree());
  goesOn.set_value();
  runUntilIdle();
  EXPECT_TRUE(isFree());
}

TEST_F(StorageLaneTest, DoesNotWaitForOneThatHangsInItsTurn) {
  TurnQueue queue{};
  Turn mine(queue, 0);
  Turn others(queue, 1);
  StorageLaneOptions options = kPatient;
  options.turn = &mine;
  options.turnPatience = std::chrono::milliseconds(1);
  const std::unique_lock lock(others, std::chrono::milliseconds(0));
  start([] { return openFaulty(); }, options);
  EXPECT_EQ(makeUser(), fingerprint("a"));
}

TEST_F(StorageLaneTest, AnswersOnceOthersCanSeeWhatWasWritten) {
  const auto file = dir_ / "s.db";
  const auto other = migratedSqlite(file);
  start([&] { return openSqliteStorage(file, std::chrono::seconds(20)); });
  const std::string user = makeUser();
  auto release = jam();
  int answers = 0;
  for (const char* key : {"a", "b", "c"}) {
    thread_->submit(write(user, key), [&, key](Result<void> done) {
      EXPECT_TRUE(done);
      EXPECT_EQ(must(other->readMetadata(user, key)), "v");
      ++answers;
    });
  }
  EXPECT_TRUE(must(other->readMetadata(user)).empty());
  release.set_value();
  runUntilIdle();
  EXPECT_EQ(answers, 3);
}

TEST_F(StorageLaneTest, TakesBackAFailedJobAndKeepsItsNeighbours) {
  start([] { return openFaulty(); });
  const std::string user = makeUser();
  auto release = jam();
  std::string outcome;
  const auto done = [&](Result<void> result) { outcome += result ? '+' : '-'; };
  thread_->submit(write(user, "before"), done);
  thread_->submit(
      [user](Storage& storage) -> Result<void> {
        must(storage.writeMetadata(user, "half", "v", at(1)));
        return storage.writeMetadata(user, "", "v", at(1));
      },
      done);
  thread_->submit(write(user, "after"), done);
  release.set_value();
  runUntilIdle();
  EXPECT_EQ(outcome, "+-+");
  const auto metadata = must(ask([user](Storage& s) { return s.readMetadata(user); }));
  EXPECT_EQ(metadata, (std::map<std::string, std::string>{{"after", "v"}, {"before", "v"}}));
  EXPECT_EQ(thread_->lastError(), "");
}

TEST_F(StorageLaneTest, FailsEveryJobOfAGroupThatCannotBeCommitted) {
  // The user's group makes 5 calls (begin, begin, resolve, commit, commit), the jam 4, two writes
  // begin, 3 each, and the commit.
  start([] { return openFaulty(5 + 4 + 1 + 3 + 3 + 1); });
  const std::string user = makeUser();
  auto release = jam();
  int failed = 0;
  for (const char* key : {"a", "b"}) {
    thread_->submit(write(user, key), [&](Result<void> done) {
      ASSERT_FALSE(done);
      EXPECT_EQ(done.error().message, "injected failure");
      ++failed;
    });
  }
  release.set_value();
  runUntilIdle();
  EXPECT_EQ(failed, 2);
  EXPECT_NE(thread_->lastError(), "");
  EXPECT_EQ(thread_->lastError(), "injected failure");
  EXPECT_TRUE(must(ask([user](Storage& s) { return s.readMetadata(user); })).empty());
  EXPECT_EQ(thread_->lastError(), "");
  EXPECT_EQ(thread_->lastError(), "");
}

TEST_F(StorageLaneTest, ReadsOnWhileWritersAreLockedOut) {
  const auto file = dir_ / "s.db";
  const auto other = migratedSqlite(file);
  start([&] { return openSqliteStorage(file, {}); });
  const std::string user = makeUser();
  must(other->begin(Access::kWrite));
  auto release = jam();
  std::string outcome;
  thread_->submit(write(user, "k"), [&](Result<void> done) {
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::kBusy);
    outcome += "write refused ";
  });
  thread_->submitRead([user](Storage& s) { return s.showUser(user); },
                      [&](Result<User> shown) {
                        EXPECT_TRUE(shown);
                        outcome += "read ";
                      });
  release.set_value();
  runUntilIdle();
  EXPECT_EQ(outcome, "read write refused ");
  EXPECT_NE(thread_->lastError(), "");
  other->rollback();
  EXPECT_TRUE(ask(write(user, "k")));
  EXPECT_EQ(thread_->lastError(), "");
}

TEST_F(StorageLaneTest, RefusesToWriteInAJobThatOnlyReads) {
  start([] { return openFaulty(); });
  const std::string user = makeUser();
  std::optional<Result<void>> result;
  thread_->submitRead(write(user, "k"), [&](Result<void> r) { result = r; });
  runUntilIdle();
  EXPECT_EQ(result->error().code, ErrorCode::kInvalid);
  EXPECT_EQ(thread_->lastError(), "");
}

TEST_F(StorageLaneTest, AnswersBusyWhenTheQueueIsFull) {
  StorageLaneOptions options = kPatient;
  options.queueLimit = 2;
  start([] { return openFaulty(); }, options);
  auto release = jam();
  int done = 0;
  int busy = 0;
  ErrorCode code{};
  const auto submit = [&] {
    thread_->submit([](Storage&) { return Result<int>(1); },
                    [&](Result<int> n) {
                      n ? ++done : ++busy;
                      code = n ? code : n.error().code;
                    });
  };
  for (int i = 0; i < 3; ++i) submit();
  EXPECT_EQ(busy, 0) << "the answer comes on the loop";
  release.set_value();
  runUntilIdle();
  EXPECT_EQ(done, 2);
  EXPECT_EQ(busy, 1);
  EXPECT_EQ(code, ErrorCode::kBusy);
  submit();
  runUntilIdle();
  EXPECT_EQ(done, 3);
}

TEST_F(StorageLaneTest, AnswersWithTheErrorWhileTheStorageCannotBeOpened) {
  StorageLaneOptions options = kPatient;
  options.reopenDelay = std::chrono::milliseconds(5);
  std::atomic<bool> broken = true;
  start(
      [&]() -> Opened {
        if (broken) return Error{ErrorCode::kPermission, "no way in"};
        return openFaulty();
      },
      options);
  const auto refused = ask(write(fingerprint("a"), "k"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "no way in");
  EXPECT_NE(thread_->lastError(), "");
  EXPECT_EQ(thread_->lastError(), "no way in");
  broken = false;
  EXPECT_TRUE(
      eventually([&] { return thread_->lastError().empty(); }));  // nobody asks for anything
  EXPECT_EQ(makeUser(), fingerprint("a"));
}

TEST_F(StorageLaneTest, OpensAStorageAnewThatFails) {
  StorageLaneOptions options = kPatient;
  options.reopenDelay = std::chrono::milliseconds(0);
  std::atomic<int> opened = 0;
  // The first one's second group fails as a damaged file would.
  start([&] { return openFaulty(++opened == 1 ? 6 : 0); }, options);
  makeUser();
  EXPECT_FALSE(ask(write(fingerprint("a"), "k")));
  EXPECT_NE(thread_->lastError(), "");
  EXPECT_EQ(makeUser(), fingerprint("a"));
  EXPECT_EQ(thread_->lastError(), "");
  EXPECT_EQ(opened, 2);
}

/// Of a certificate that a site let in.
Visit visit(std::string_view name) {
  return {fingerprint(name), fingerprint("1" + std::string(name)), 1, {}, true};
}

std::uint64_t visitsOf(Storage& storage, std::string_view user) {
  const auto shown = storage.showUser(user);
  return shown ? shown.value().visits : 0;
}

TEST_F(StorageLaneTest, WritesVisitsWithTheNextGroup) {
  start([] { return openFaulty(); });
  for (int i = 0; i < 3; ++i) thread_->recordVisit(visit("a"));
  const auto visits = [&] {
    return must(ask([](Storage& s) { return Result<std::uint64_t>(visitsOf(s, "a")); }));
  };
  EXPECT_EQ(visits(), 0u);  // written after the jobs of their group
  EXPECT_EQ(visits(), 3u);
  EXPECT_EQ(visits(), 3u);
}

TEST_F(StorageLaneTest, AVisitThatWasAdmittedOnceIsAdmittedWithTheOthers) {
  start([] { return openFaulty(); });
  Visit stranger = visit("a");
  stranger.admitted = false;
  thread_->recordVisit(stranger);
  thread_->recordVisit(stranger);
  Visit admitted = visit("a");
  admitted.count = 0;
  thread_->recordVisit(admitted);
  const auto visits = [&] {
    return must(ask([](Storage& s) { return Result<std::uint64_t>(visitsOf(s, "a")); }));
  };
  EXPECT_EQ(visits(), 0u);
  EXPECT_EQ(visits(), 2u);
}

TEST_F(StorageLaneTest, WritesVisitsSoonWhenNobodyAsksForAnything) {
  const auto file = dir_ / "s.db";
  const auto other = migratedSqlite(file);
  StorageLaneOptions options = kPatient;
  options.visitDelay = std::chrono::milliseconds(5);
  start([&] { return openSqliteStorage(file, std::chrono::seconds(20)); }, options);
  for (const char* name : {"a", "b", "a"}) {
    thread_->recordVisit(visit(name));
  }
  EXPECT_TRUE(eventually([&] { return visitsOf(*other, "a") == 2 && visitsOf(*other, "b") == 1; }));
}

TEST_F(StorageLaneTest, WritesVisitsOnceWhateverFailsBetween) {
  const auto file = dir_ / "s.db";
  const auto other = migratedSqlite(file);
  StorageLaneOptions options = kPatient;
  options.visitDelay = std::chrono::milliseconds(5);
  must(other->begin(Access::kWrite));
  start([&] { return openSqliteStorage(file, {}); }, options);
  thread_->recordVisit(visit("a"));
  EXPECT_TRUE(eventually([&] { return !thread_->lastError().empty(); }));
  thread_->recordVisit(visit("a"));
  other->rollback();
  EXPECT_TRUE(eventually([&] { return visitsOf(*other, "a") == 2; }));
}

TEST_F(StorageLaneTest, FinishesWhatWasSubmittedBeforeItGoes) {
  const auto file = dir_ / "s.db";
  const auto other = migratedSqlite(file);
  start([&] { return openSqliteStorage(file, std::chrono::seconds(20)); });
  const std::string user = makeUser();
  int answers = 0;
  for (int i = 0; i < 10; ++i) {
    thread_->submit(write(user, std::to_string(i)), [&](Result<void> done) {
      EXPECT_TRUE(done);
      ++answers;
    });
  }
  thread_->recordVisit(visit("a"));
  thread_.reset();
  EXPECT_EQ(must(other->readMetadata(user)).size(), 10u);
  EXPECT_EQ(visitsOf(*other, user), 1u);
  turn();
  EXPECT_EQ(answers, 10);
}

TEST_F(StorageLaneTest, LeavesAForeignLockBehind) {
  const auto file = dir_ / "s.db";
  const auto other = migratedSqlite(file);
  start([&] { return openSqliteStorage(file, std::chrono::milliseconds(10)); });
  const std::string user = makeUser();
  must(other->begin(Access::kWrite));
  std::optional<Result<void>> result;
  thread_->submit(write(user, "k"), [&](Result<void> r) { result = r; });
  thread_->recordVisit(visit("a"));
  thread_.reset();
  turn();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->error().code, ErrorCode::kBusy);
}

/// Over an engine that several hosts share, whose bad days the test makes.
class SharedStorageLaneTest : public StorageLaneTest {
 protected:
  using Moment = FaultyStorage::Moment;

  /// Its threads use what is declared here.
  ~SharedStorageLaneTest() override { thread_.reset(); }

  void start(std::size_t threads = 1, std::chrono::milliseconds patience = std::chrono::hours(1)) {
    startShared({.threads = threads, .patience = patience, .retryDelay = kRetry});
  }
  void startShared(SharedEngineRules rules) {
    StorageLaneOptions options = kPatient;
    options.reopenDelay = kRetry;
    options.visitDelay = visitDelay_;
    options.shared = rules;
    const auto fate = [this](Moment moment, const StorageKeys& keys) { return next(moment, keys); };
    thread_.emplace(
        loop_,
        [this, fate](std::size_t) -> Opened {
          auto opened = openSqliteStorage(file_, std::chrono::seconds(20));
          if (!opened) return opened;
          auto storage = std::make_unique<FaultyStorage>(std::move(*opened), 0);
          storage->follow(fate);
          storage->countVisitsApart();
          return std::unique_ptr<Storage>(std::move(storage));
        },
        options);
  }

  /// On a storage thread.
  std::optional<Error> next(Moment moment, const StorageKeys& keys) {
    const MutexLock lock(mutex_);
    if (moment == Moment::kLook) {
      ++looks_;
      return forgot_ ? std::optional(Error{ErrorCode::kIo, "it has forgotten"}) : std::nullopt;
    }
    if (moment == Moment::kBegin) keys_.push_back(keys);
    if (held_ && std::ranges::find(keys, *held_) != keys.end()) {
      return Error{ErrorCode::kAgain, "another has it"};
    }
    if (moment == Moment::kBegin && away_) return Error{ErrorCode::kBusy, "it is away"};
    if (moment == Moment::kBegin || commits_.empty()) return std::nullopt;
    const ErrorCode code = commits_.front();
    commits_.pop_front();
    return Error{code, "its commit"};
  }
  void setAway(bool away) {
    const MutexLock lock(mutex_);
    away_ = away;
  }
  int looks() {
    const MutexLock lock(mutex_);
    return looks_;
  }
  void hold(std::optional<std::string> key) {
    const MutexLock lock(mutex_);
    held_ = std::move(key);
  }
  void forget() {
    const MutexLock lock(mutex_);
    forgot_ = true;
  }
  void nextCommits(std::deque<ErrorCode> codes) {
    const MutexLock lock(mutex_);
    commits_ = std::move(codes);
  }
  std::size_t attempts() {
    const MutexLock lock(mutex_);
    return keys_.size();
  }
  std::vector<StorageKeys> keys() {
    const MutexLock lock(mutex_);
    return std::exchange(keys_, {});
  }

  static constexpr std::chrono::milliseconds kRetry{5};
  std::filesystem::path file_ = dir_ / "s.db";
  std::unique_ptr<Storage> other_ = migratedSqlite(file_);
  std::chrono::milliseconds visitDelay_ = std::chrono::hours(1);
  Mutex mutex_;
  bool away_ EGALAXYD_GUARDED_BY(mutex_) = false;
  std::optional<std::string> held_ EGALAXYD_GUARDED_BY(mutex_);
  bool forgot_ EGALAXYD_GUARDED_BY(mutex_) = false;
  int looks_ EGALAXYD_GUARDED_BY(mutex_) = 0;
  std::deque<ErrorCode> commits_ EGALAXYD_GUARDED_BY(mutex_);
  std::vector<StorageKeys> keys_ EGALAXYD_GUARDED_BY(mutex_);
};

TEST_F(SharedStorageLaneTest, KeepsJobsWhileTheEngineIsAway) {
  start(2);
  const std::string user = makeUser();
  setAway(true);
  std::optional<Result<void>> result;
  thread_->submit(write(user, "k"), [&](Result<void> r) { result = std::move(r); });
  const std::size_t before = attempts();
  EXPECT_TRUE(eventually([&] { return attempts() > before + 2; }));
  turn();
  EXPECT_FALSE(result);
  EXPECT_EQ(thread_->lastError(), "it is away");
  EXPECT_LT(thread_->enginesUp(), 2u);
  setAway(false);
  runUntilIdle();
  EXPECT_TRUE(*result);
  EXPECT_EQ(must(other_->readMetadata(user)).size(), 1u);
  EXPECT_TRUE(eventually([&] { return thread_->enginesUp() == 2; }));
  EXPECT_EQ(thread_->lastError(), "");
}

TEST_F(SharedStorageLaneTest, RefusesWhenThePatienceIsOver) {
  start(2, std::chrono::milliseconds(20));
  setAway(true);
  int refused = 0;
  for (int i = 0; i < 100; ++i) {  // more than one group
    thread_->submit([](Storage&) { return Result<void>(); },
                    [&](Result<void> r) { refused += r.error().code == ErrorCode::kIo ? 1 : 0; });
  }
  runUntilIdle();
  EXPECT_EQ(refused, 100);
}

TEST_F(SharedStorageLaneTest, WaitingJobsFillTheQueue) {
  StorageLaneOptions options = kPatient;
  start();
  setAway(true);
  int busy = 0;
  const auto submit = [&] {
    thread_->submit([](Storage&) { return Result<void>(); },
                    [&](Result<void> r) { busy += r ? 0 : 1; });
  };
  for (std::size_t i = 0; i < options.queueLimit + 100; ++i) submit();
  EXPECT_TRUE(eventually([&] {
    turn();
    return busy > 0;
  }));
  setAway(false);
  runUntilIdle();
  EXPECT_LE(busy, 100);
}

TEST_F(SharedStorageLaneTest, RunsAGroupAgainOfWhichNothingHappened) {
  start();
  const std::string user = makeUser();
  nextCommits({ErrorCode::kAgain, ErrorCode::kAgain});
  std::atomic<int> runs = 0;
  const auto held = std::make_shared<int>(1);
  std::optional<Result<void>> result;
  thread_->submit(
      [&runs, held, work = write(user, "k")](Storage& storage) {
        ++runs;
        return work(storage);
      },
      [&](Result<void> r) {
        EXPECT_EQ(held.use_count(), 1);
        result = std::move(r);
      });
  runUntilIdle();
  EXPECT_TRUE(*result);
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(must(other_->readMetadata(user)).size(), 1u);
  EXPECT_EQ(thread_->lastError(), "");
}

TEST_F(SharedStorageLaneTest, SaysThatNobodyKnows) {
  start();
  nextCommits({ErrorCode::kUnknown});
  const auto unknown = ask([](Storage&) { return Result<void>(); });
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnknown);
}

TEST_F(SharedStorageLaneTest, TheJobsOfAnEngineThatHasForgottenAreRefused) {
  start();
  nextCommits({ErrorCode::kIo});
  const auto refused = ask([](Storage&) { return Result<void>(); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
}

TEST_F(SharedStorageLaneTest, AnIdleEngineIsLookedAtAndSaysThatItHasForgotten) {
  startShared({.threads = 2, .retryDelay = kRetry, .lookEvery = kRetry});
  EXPECT_TRUE(eventually([&] { return looks() > 4; }));
  EXPECT_EQ(attempts(), 0u) << "without a transaction";
  EXPECT_EQ(thread_->lastError(), "");
  forget();
  EXPECT_TRUE(eventually([&] { return thread_->lastError() == "it has forgotten"; }));
}

TEST_F(SharedStorageLaneTest, TakesTheKeysOfAGroupBeforeItBegins) {
  start();
  auto release = jam();
  const auto nothing = [](Storage&) { return Result<void>(); };
  for (const char* key : {"a", "b"}) {
    thread_->submit(
        nothing, [](Result<void>) {}, thread_->keys([&] { return StorageKeys{userKey(key)}; }));
  }
  release.set_value();
  runUntilIdle();
  EXPECT_EQ(keys().back(), (StorageKeys{userKey("a"), userKey("b")}));
}

TEST_F(SharedStorageLaneTest, NobodyWaitsForAKeyThatOnlyAnotherWants) {
  start();
  hold("held");
  auto release = jam();
  std::optional<Result<void>> waiting;
  int done = 0;
  const auto nothing = [](Storage&) { return Result<void>(); };
  const auto count = [&](Result<void> result) { done += result ? 1 : 0; };
  thread_->submit(nothing, count, {"one"});
  thread_->submit(nothing, [&](Result<void> result) { waiting = std::move(result); }, {"held"});
  thread_->submit(nothing, count, {"two"});
  release.set_value();
  EXPECT_TRUE(eventually([&] {
    turn();
    return done == 2;
  }));
  EXPECT_FALSE(waiting);
  hold(std::nullopt);
  runUntilIdle();
  EXPECT_TRUE(*waiting);
}

TEST_F(SharedStorageLaneTest, AGroupHoldsNoMoreKeysThanTheDatabaseHasLocks) {
  startShared({.threads = 1, .groupLimit = 3});
  auto release = jam();
  for (int i = 0; i < 7; ++i) {
    thread_->submit([](Storage&) { return Result<void>(); }, [](Result<void>) {}, {"key"});
  }
  keys();
  release.set_value();
  runUntilIdle();
  std::size_t all = 0;
  for (const StorageKeys& group : keys()) {
    EXPECT_LE(group.size(), 3u);
    all += group.size();
  }
  EXPECT_EQ(all, 7u);
}

TEST_F(SharedStorageLaneTest, OneThreadRunsAGroupWhileTheOtherIsBusy) {
  start(2);
  auto release = jam();
  bool done = false;
  thread_->submit([](Storage&) { return Result<void>(); }, [&](Result<void>) { done = true; });
  EXPECT_TRUE(eventually([&] {
    turn();
    return done;
  }));
  release.set_value();
  runUntilIdle();
}

TEST_F(SharedStorageLaneTest, CountsVisitsInACommitOfTheirOwn) {
  visitDelay_ = std::chrono::milliseconds(5);
  start(2);
  setAway(true);  // of other transactions
  for (const char* name : {"a", "b", "a"}) thread_->recordVisit(visit(name));
  EXPECT_TRUE(
      eventually([&] { return visitsOf(*other_, "a") == 2 && visitsOf(*other_, "b") == 1; }));
  EXPECT_EQ(attempts(), 0u);
}

TEST_F(SharedStorageLaneTest, AnswersEverybodyOnceItHasGivenUp) {
  start(2);
  setAway(true);
  int busy = 0;
  for (int i = 0; i < 100; ++i) {
    thread_->submit([](Storage&) { return Result<void>(); },
                    [&](Result<void> r) { busy += r.error().code == ErrorCode::kBusy ? 1 : 0; });
  }
  EXPECT_TRUE(eventually([&] { return attempts() > 0; }));
  thread_->giveUp();
  runUntilIdle();
  EXPECT_EQ(busy, 100);
}

TEST_F(SharedStorageLaneTest, AnswersEverybodyWhenItGoes) {
  start(2);
  setAway(true);
  int answers = 0;
  for (int i = 0; i < 100; ++i) {
    thread_->submit([](Storage&) { return Result<void>(); }, [&](Result<void>) { ++answers; });
  }
  thread_.reset();
  turn();
  EXPECT_EQ(answers, 100);
}

}  // namespace
}  // namespace egalaxyd
