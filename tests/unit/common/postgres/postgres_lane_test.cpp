// What becomes of a transaction whose connection breaks, whose server hangs, or whose database is
// not the one that it was.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "common/postgres/lane_mark.h"
#include "common/postgres/postgres_storage.h"
#include "tests/support/deadline.h"
#include "tests/support/postgres_server.h"
#include "tests/unit/common/postgres/cut_proxy.h"
#include "tests/unit/common/postgres/recording_sight.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

using postgres::judge;
using postgres::MarkVerdict;

TEST(LaneMark, TellsWhatBecameOfTheTransactionUnderWay) {
  EXPECT_EQ(judge({3, 7}, {4, 7}), MarkVerdict::kDidNot);
  EXPECT_EQ(judge({3, 7}, {4, 8}), MarkVerdict::kHappened);
  EXPECT_EQ(judge({3, 7}, {9, 8}), MarkVerdict::kHappened) << "tries to connect raise it too";
  EXPECT_EQ(judge({0, 0}, {1, 0}), MarkVerdict::kDidNot);
}

TEST(LaneMark, SeesADatabaseThatForgot) {
  EXPECT_EQ(judge({3, 7}, {4, 6}), MarkVerdict::kForgotten);
  EXPECT_EQ(judge({3, 7}, {1, 0}), MarkVerdict::kForgotten) << "the row is gone";
  EXPECT_EQ(judge({3, 7}, {3, 7}), MarkVerdict::kForgotten) << "an epoch was forgotten";
  EXPECT_EQ(judge({3, 7}, {4, 9}), MarkVerdict::kForgotten) << "nobody of ours wrote that";
}

class PostgresLane : public testing::Test {
 protected:
  void SetUp() override {
    access_ = proxy_.access(database_);
    access_.patience = std::chrono::milliseconds(20'000);
    open();
    user_ = must(storage_->resolveUser(fingerprint("a"), fingerprint("1"), at(1)));
  }
  void open() { storage_ = must(postgres::openPostgresStorage(access_, "0", {}, sight_)); }
  Result<void> write(const std::string& value) {
    return storage_->writeMetadata(user_, "k", value, at(2));
  }
  std::string value() { return must(storage_->readMetadata(user_, "k")).value_or("none"); }
  std::string sql(const std::string& statements) { return server_.sql(database_, statements); }
  void endConnections() {
    sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = "
        "'egalaxyd' AND datname = current_database()");
  }

  PostgresServer& server_ = PostgresServer::shared();
  const std::string database_ = server_.makeDatabase();
  CutProxy proxy_{server_};
  RecordingSight sight_;
  DatabaseAccess access_;
  std::unique_ptr<Storage> storage_;
  std::string user_;
};

TEST_F(PostgresLane, FindsACommitWhoseAnswerGotLost) {
  proxy_.cut(CutProxy::Cut::kAnswer);
  must(write("new"));
  EXPECT_EQ(value(), "new");
  EXPECT_EQ(sight_.count(DatabaseEvent::kFoundCommitted), 1);
  must(write("newer"));
  EXPECT_EQ(value(), "newer");
}

TEST_F(PostgresLane, SaysAgainForACommitThatGotLost) {
  proxy_.cut(CutProxy::Cut::kCommit);
  const auto lost = write("new");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::kAgain);
  EXPECT_EQ(storage_->trouble()->code, ErrorCode::kAgain);
  EXPECT_EQ(sight_.count(DatabaseEvent::kRepeated), 1);
  EXPECT_EQ(value(), "none");
  must(write("new"));
  EXPECT_EQ(value(), "new");
}

TEST_F(PostgresLane, WaitsForACommitThatIsStillOnItsWay) {
  proxy_.cut(CutProxy::Cut::kLate);
  std::thread late([&] {
    // The second look for the mark is the one that waits no longer than a lock may.
    eventually([&] { return sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"; });
    proxy_.release();
  });
  EXPECT_TRUE(write("new").ok());
  late.join();
  EXPECT_EQ(sight_.count(DatabaseEvent::kFoundCommitted), 1);
  EXPECT_EQ(value(), "new");
}

TEST_F(PostgresLane, SaysUnknownWhenPatienceIsOverAndLearnsItLater) {
  access_.patience = std::chrono::milliseconds(1);
  open();
  must(storage_->begin(Access::kWrite));
  must(write("new"));
  proxy_.cut(CutProxy::Cut::kFrozen);
  const auto unknown = storage_->commit();
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnknown);
  EXPECT_EQ(sight_.count(DatabaseEvent::kUnknown), 1);
  EXPECT_EQ(write("other").error().code, ErrorCode::kBusy) << "the database is away";
  proxy_.cut(CutProxy::Cut::kNone);
  EXPECT_TRUE(eventually([&] { return write("newer").ok(); }));
  EXPECT_EQ(value(), "newer");
  EXPECT_FALSE(sight_.regressed());
}

TEST_F(PostgresLane, ATransactionWhoseConnectionBrokeMayBeRunAgain) {
  must(storage_->begin(Access::kWrite, {userKey("1")}));
  must(write("new"));
  endConnections();
  EXPECT_EQ(write("newer").error().code, ErrorCode::kAgain);
  EXPECT_EQ(storage_->readMetadata(user_, "k").error().code, ErrorCode::kAgain);
  EXPECT_EQ(storage_->commit().error().code, ErrorCode::kAgain);
  EXPECT_EQ(value(), "none");
  must(write("new"));
}

TEST_F(PostgresLane, AConnectionThatBrokeWhileNobodyUsedItIsMadeAnew) {
  endConnections();
  must(write("new"));
  endConnections();
  must(storage_->begin(Access::kRead));
  EXPECT_EQ(value(), "new");
  must(storage_->commit());
  EXPECT_EQ(sight_.count(DatabaseEvent::kReconnected), 2);
}

TEST_F(PostgresLane, WritesNothingOnceTheDatabaseHasForgotten) {
  must(write("new"));
  sql("UPDATE egalaxyd.lanes SET number = number - 1");
  endConnections();
  const auto refused = write("newer");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
  EXPECT_NE(refused.error().message.find("has forgotten"), std::string::npos);
  EXPECT_TRUE(sight_.regressed());
  EXPECT_EQ(sight_.count(DatabaseEvent::kRegressed), 1);
  open();
  EXPECT_EQ(write("newest").error().code, ErrorCode::kIo) << "nobody on this host writes any more";
  EXPECT_EQ(value(), "new");
}

TEST_F(PostgresLane, AnIdleOneSeesADatabaseThatForgot) {
  must(write("new"));
  must(storage_->look());
  sql("UPDATE egalaxyd.lanes SET number = number - 1");
  const auto seen = storage_->look();
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, ErrorCode::kIo);
  EXPECT_EQ(storage_->trouble()->code, ErrorCode::kIo);
  EXPECT_EQ(sight_.count(DatabaseEvent::kRegressed), 1);
  EXPECT_EQ(write("newer").error().code, ErrorCode::kIo);
  EXPECT_EQ(storage_->look().error().code, ErrorCode::kIo) << "it says so on";
}

TEST_F(PostgresLane, AnIdleOneSeesThatItsRowIsGone) {
  must(write("new"));
  sql("DELETE FROM egalaxyd.lanes");
  EXPECT_EQ(storage_->look().error().code, ErrorCode::kIo);
  EXPECT_TRUE(sight_.regressed());
}

TEST_F(PostgresLane, AnIdleOneComparesOnANewConnectionToo) {
  must(write("new"));
  endConnections();
  must(storage_->look());
  EXPECT_EQ(sight_.count(DatabaseEvent::kReconnected), 1);
  sql("SELECT egalaxyd.fence(lane) FROM egalaxyd.lanes");
  must(storage_->look());
  sql("UPDATE egalaxyd.lanes SET number = number - 1");
  endConnections();
  EXPECT_EQ(storage_->look().error().code, ErrorCode::kIo);
  EXPECT_TRUE(sight_.regressed());
}

TEST_F(PostgresLane, AnIdleOneSaysThatTheDatabaseIsAway) {
  proxy_.cut(CutProxy::Cut::kFrozen);
  EXPECT_EQ(storage_->look().error().code, ErrorCode::kBusy);
  EXPECT_EQ(storage_->trouble()->code, ErrorCode::kBusy);
  EXPECT_FALSE(sight_.regressed());
}

TEST_F(PostgresLane, OneThatWasShutOutComesBackByItself) {
  sql("SELECT egalaxyd.fence(lane) FROM egalaxyd.lanes");
  must(write("new"));
  EXPECT_EQ(value(), "new");
}

TEST_F(PostgresLane, UsesNoConnectionFromBeforeAReset) {
  const std::string before =
      sql("SELECT max(pid) FROM pg_stat_activity WHERE application_name = "
          "'egalaxyd' AND datname = current_database()");
  sight_.reset();
  must(write("new"));
  EXPECT_NE(sql("SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'egalaxyd' AND "
                "datname = current_database()"),
            before);
}

TEST_F(PostgresLane, UsesNoPrimaryThatWasReplaced) {
  sight_.sawTimeline(99);
  const auto refused = write("new");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_NE(refused.error().message.find("was replaced"), std::string::npos);
}

/// The server answers success, with a warning beside it.
TEST_F(PostgresLane, DoesNotBelieveACommitThatGaveUpItsWaitForTheStandby) {
  access_.patience = std::chrono::milliseconds(1);
  open();
  sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  sql("SELECT pg_reload_conf()");
  ASSERT_TRUE(eventually([&] { return sql("SHOW synchronous_standby_names") == "nobody"; }));
  std::thread canceller([&] {
    eventually([&] {
      return sql("SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity "
                 "WHERE wait_event = 'SyncRep'") != "0";
    });
  });
  const auto written = write("new");
  canceller.join();
  sql("ALTER SYSTEM RESET synchronous_standby_names");
  sql("SELECT pg_reload_conf()");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kUnknown);
  EXPECT_TRUE(eventually([&] { return write("newer").ok(); }));
  EXPECT_FALSE(sight_.regressed());
}

TEST_F(PostgresLane, VisitsAreNoMarkedTransaction) {
  const int commits = sight_.commits();
  const Visit visit{fingerprint("a"), fingerprint("1"), 1, at(9), false, {}};
  must(storage_->addVisits({&visit, 1}));
  EXPECT_EQ(sight_.commits(), commits);
  EXPECT_EQ(must(storage_->showUser(user_)).visits, 1u);
}

TEST_F(PostgresLane, ManyWhoMeetTheSameStrangerMakeOneUser) {
  std::vector<std::thread> threads;
  std::vector<std::string> made(4);
  for (std::size_t i = 0; i < made.size(); ++i) {
    threads.emplace_back([&, i] {
      RecordingSight sight;
      auto storage = must(postgres::openPostgresStorage(server_.access(database_), "1", {}, sight));
      for (std::size_t n = 0; n < 20; ++n) {
        const std::string key = fingerprint("e" + std::to_string(100 + n));
        made[i] +=
            must(storage->resolveUser(fingerprint(std::to_string(1000 * (i + 1) + n)), key, at(5)));
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(made[1], made[0]);
  EXPECT_EQ(made[2], made[0]);
  EXPECT_EQ(made[3], made[0]);
  EXPECT_EQ(sql("SELECT count(*) FROM egalaxyd.users"), "21");
}

}  // namespace
}  // namespace egalaxyd
