// A primary that dies or freezes under writers while its standby takes over: what was acknowledged
// is there, once, and what was said not to have happened is not.
#include <gtest/gtest.h>

#include <signal.h>

#include <atomic>
#include <cstdio>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/cluster/own_sight.h"
#include "common/postgres/postgres_storage.h"
#include "tests/support/deadline.h"
#include "tests/support/postgres_server.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

constexpr int kWriters = 6;

/// Of uploads by their paths, "/writer/number".
struct Outcome {
  std::set<std::string> acknowledged;
  std::set<std::string> unknown;
  int repeated = 0;
};

class DatabasePair : public testing::Test {
 protected:
  void SetUp() override {
    if (postgresPrograms().empty()) GTEST_SKIP() << "no PostgreSQL server in /usr/lib/postgresql";
    primary_ = std::make_unique<PostgresServer>(std::vector<std::string>{"fsync=off"});
    database_ = primary_->makeDatabase();
    standby_ = std::make_unique<PostgresServer>(*primary_, "s1");
    primary_->sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 's1'");
    primary_->sql("postgres", "SELECT pg_reload_conf()");
    ASSERT_TRUE(eventually([&] {
      return primary_->sql("postgres",
                           "SELECT count(*) FROM pg_stat_replication WHERE sync_state "
                           "= 'sync'") == "1";
    }));
    access_ = primary_->access(database_);
    access_.url += "," + standby_->socketFolder().string();
  }

  void startWriters() {
    for (int i = 0; i < kWriters; ++i) {
      threads_.emplace_back([this, i] { write(i); });
    }
  }
  void endWriters() {
    ended_ = true;
    for (std::thread& each : threads_) each.join();
  }

  void write(int writer) {
    std::unique_ptr<Storage> storage;
    Outcome& outcome = outcomes_[static_cast<std::size_t>(writer)];
    for (int n = 0; !ended_; ++n) {
      const std::string path = "/" + std::to_string(writer) + "/" + std::to_string(n);
      put(storage, writer, path, outcome);
    }
  }

  /// Until somebody says what has become of it.
  void put(std::unique_ptr<Storage>& storage, int writer, const std::string& path,
           Outcome& outcome) {
    for (;;) {
      const auto done = tryPut(storage, writer, path);
      if (done) {
        outcome.acknowledged.insert(path);
        ++acknowledged_;
        return;
      }
      if (done.error().code == ErrorCode::kUnknown) {
        outcome.unknown.insert(path);
        return;
      }
      if (done.error().code == ErrorCode::kAgain) ++outcome.repeated;
      ::poll(nullptr, 0, 10);
    }
  }

  Result<void> tryPut(std::unique_ptr<Storage>& storage, int writer, const std::string& path) {
    if (!storage) {
      auto opened =
          postgres::openPostgresStorage(access_, "w" + std::to_string(writer), {}, sight_);
      if (!opened) return opened.error();
      storage = std::move(*opened);
    }
    if (auto begun = storage->begin(Access::kWrite, {placeKey("h", path)}); !begun) return begun;
    const auto id = storage->recordUpload(stored(path, 1));
    if (id) return storage->commit();
    storage->rollback();
    return id.error();
  }

  void awaitMore(int more) {
    const int goal = acknowledged_ + more;
    ASSERT_TRUE(eventually([&] { return acknowledged_ >= goal; }, 2 * kPatience));
  }

  void verify(const PostgresServer& server) {
    Outcome all;
    for (const Outcome& each : outcomes_) {
      all.acknowledged.insert(each.acknowledged.begin(), each.acknowledged.end());
      all.unknown.insert(each.unknown.begin(), each.unknown.end());
      all.repeated += each.repeated;
    }
    OwnSight sight;
    auto storage = must(postgres::openPostgresStorage(server.access(database_), "v", {}, sight));
    std::multiset<std::string> there;
    for (const auto& record : must(storage->listUploads({.limit = 10'000'000}))) {
      there.insert(record.path);
    }
    int lost = 0;
    for (const std::string& path : all.acknowledged) lost += there.count(path) != 1;
    int strange = 0;
    for (const std::string& path : there) {
      strange += !all.acknowledged.contains(path) && !all.unknown.contains(path);
    }
    std::printf("acknowledged %zu, run again %d, unknown %zu\n", all.acknowledged.size(),
                all.repeated, all.unknown.size());
    EXPECT_EQ(lost, 0) << "acknowledged, and not there once";
    EXPECT_EQ(strange, 0) << "there, although nobody said so";
    EXPECT_FALSE(sight_.regressed());
  }

  std::unique_ptr<PostgresServer> primary_;
  std::unique_ptr<PostgresServer> standby_;
  std::string database_;
  DatabaseAccess access_;
  OwnSight sight_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> acknowledged_ = 0;
  std::vector<std::thread> threads_;
  std::vector<Outcome> outcomes_{kWriters};
};

TEST_F(DatabasePair, KilledPrimary) {
  startWriters();
  awaitMore(100);
  primary_->signalAll(SIGKILL);
  standby_->promote();
  awaitMore(100);
  endWriters();
  verify(*standby_);
}

TEST_F(DatabasePair, FrozenPrimaryThatWakes) {
  startWriters();
  awaitMore(100);
  primary_->signalAll(SIGSTOP);
  standby_->promote();
  awaitMore(100);
  primary_->signalAll(SIGCONT);
  awaitMore(100);
  endWriters();
  verify(*standby_);
}

}  // namespace
}  // namespace egalaxyd
