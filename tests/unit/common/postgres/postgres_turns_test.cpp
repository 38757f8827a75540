// Two hosts on one database: who waits for a transaction of the other that stands still, and for
// how long.
#include <gtest/gtest.h>

#include "common/base/sha256.h"
#include "common/postgres/postgres_storage.h"
#include "tests/support/deadline.h"
#include "tests/support/postgres_server.h"
#include "tests/unit/common/postgres/recording_sight.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

constexpr std::uint64_t kAnyCount = 1000;
constexpr std::uint64_t kAnySize = 1 << 30;

class PostgresTurns : public testing::Test {
 protected:
  struct SharedHost {
    RecordingSight sight = {};
    std::unique_ptr<Storage> storage = nullptr;
  };

  PostgresTurns() {
    open(frozen_, "frozen");
    open(other_, "other");
  }
  void open(SharedHost& host, const std::string& name) {
    DatabaseAccess access = server_.access(database_);
    access.host = name;
    host.storage = must(postgres::openPostgresStorage(access, "0", {}, host.sight));
  }

  /// What an upload does in its transaction, in place of `before`, which is kept.
  static Result<void> put(Storage& storage, const std::string& path, const std::string& content,
                          const std::string& before, std::uint64_t keepSize = kAnySize) {
    UploadRecord record = stored(path, content.size());
    record.sha256 = sha256Hex(content);
    auto kept = storage.keptUploads(record.host, "/", "");
    if (!kept) return kept.error();
    const auto pending = storage.announceUpload(record);
    if (!pending) return pending.error();
    if (!before.empty()) {
      OldContent old;
      old.sha256 = sha256Hex(before);
      old.size = before.size();
      if (auto done = storage.keepVersion(*pending, old, at(5)); !done) return done;
      auto done = storage.pruneVersions(*pending, "", {kAnyCount, keepSize}, at(5));
      if (!done) return done;
    }
    if (auto done = storage.bringContent(*pending, {0, content}, at(5)); !done) return done;
    const auto id = storage.settleUpload(*pending, UploadOutcome::kStored, "");
    return id ? Result<void>() : id.error();
  }
  Result<void> putOnOther(const std::string& path, const std::string& content,
                          const std::string& before, std::uint64_t keepSize = kAnySize) {
    return atomically(*other_.storage, Access::kWrite,
                      [&] { return put(*other_.storage, path, content, before, keepSize); },
                      {placeKey("example.org", path)});
  }
  /// The transaction stays open: a host that stops in the middle of it looks like this.
  void freezeAt(const std::string& path, const std::string& content, const std::string& before,
                std::uint64_t keepSize = kAnySize) {
    must(frozen_.storage->begin(Access::kWrite, {placeKey("example.org", path)}));
    must(put(*frozen_.storage, path, content, before, keepSize));
    // What is sent with the next statement goes.
    must(frozen_.storage->latestUpload("example.org", path));
  }
  std::string sql(const std::string& statement) { return server_.sql(database_, statement); }

  PostgresServer& server_ = PostgresServer::shared();
  const std::string database_ = server_.makeDatabase();
  SharedHost frozen_;
  SharedHost other_;
};

TEST_F(PostgresTurns, NobodyWaitsForAnUploadToAnotherPlaceOfTheMount) {
  must(putOnOther("/a", "one", ""));
  must(putOnOther("/b", "two", ""));
  freezeAt("/a", "three", "one");
  must(putOnOther("/b", "four", "two"));
  must(putOnOther("/c", "five", ""));
  must(frozen_.storage->commit());
  EXPECT_EQ(must(other_.storage->keptUploads("example.org", "/", std::nullopt)),
            (KeptUploads{5 + 4 + 4 + 3 * 4096, 3}));
  EXPECT_EQ(sql("SELECT sum(bytes) || ' in ' || count(*) FROM egalaxyd.version_sums"), "8198 in 2");
}

TEST_F(PostgresTurns, WhoWantsTheSamePlaceGivesUpBeforeItHasThePlaceForNothing) {
  freezeAt("/a", "one", "");
  const auto waited = putOnOther("/a", "two", "");
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, ErrorCode::kAgain);
  must(frozen_.storage->commit());
  must(putOnOther("/a", "two", ""));
  EXPECT_EQ(other_.sight.count(DatabaseEvent::kReconnected), 0);
}

TEST_F(PostgresTurns, OneMakesRoomForVersionsAndTheOthersLeaveItToThat) {
  constexpr std::uint64_t kRoomForOne = 3 + 4096;
  must(putOnOther("/a", "on1", ""));
  must(putOnOther("/a", "on2", "on1"));
  must(putOnOther("/b", "tw1", ""));
  freezeAt("/a", "on3", "on2", kRoomForOne);
  must(putOnOther("/b", "tw2", "tw1", kRoomForOne));
  must(frozen_.storage->commit());
  EXPECT_EQ(sql("SELECT count(*) FROM egalaxyd.versions"), "2") << "one too many, for a moment";
  must(putOnOther("/a", "on4", "on3", 2 * kRoomForOne));
  EXPECT_EQ(sql("SELECT count(*) FROM egalaxyd.versions"), "2");
  EXPECT_EQ(sql("SELECT sum(size) + 4096 * count(*) FROM egalaxyd.versions"),
            sql("SELECT sum(bytes) FROM egalaxyd.version_sums"));
}

TEST_F(PostgresTurns, WhatExpiresIsLeftToWhoIsAtIt) {
  const auto user = must(other_.storage->resolveUser(fingerprint("a"), fingerprint("1"), at(1)));
  must(other_.storage->writeMetadata(user, "k", "v", at(2)));
  must(frozen_.storage->begin(Access::kWrite));
  EXPECT_EQ(must(frozen_.storage->expireMetadata(at(1), 10)), 0u);
  EXPECT_EQ(must(other_.storage->expireMetadata(at(9), 10)), 0u);
  must(frozen_.storage->commit());
  EXPECT_EQ(must(other_.storage->expireMetadata(at(9), 10)), 1u);
}

TEST_F(PostgresTurns, WhoComesBackKeepsWhatWasToExpire) {
  const auto user = must(other_.storage->resolveUser(fingerprint("a"), fingerprint("1"), at(1)));
  must(other_.storage->writeMetadata(user, "k", "v", at(2)));
  must(frozen_.storage->begin(Access::kWrite));
  must(frozen_.storage->writeMetadata(user, "k", "new", at(20)));
  EXPECT_EQ(must(other_.storage->expireMetadata(at(9), 10)), 0u);
  must(frozen_.storage->commit());
  EXPECT_EQ(must(other_.storage->readMetadata(user, "k")), "new");
}

TEST_F(PostgresTurns, WhatAForgottenUserKeptIsNobodysWhicheverLaneStoredIt) {
  const auto user = must(other_.storage->resolveUser(fingerprint("a"), fingerprint("1"), at(1)));
  must(other_.storage->begin(Access::kWrite));
  must(other_.storage->keptUploads("example.org", "/", user));
  must(other_.storage->commit());
  must(other_.storage->recordUpload(stored("/a", 10, user)));
  must(frozen_.storage->recordUpload(stored("/b", 20, user)));
  must(frozen_.storage->recordUpload(stored("/c", 40)));
  must(other_.storage->forgetUser(user));
  EXPECT_EQ(must(other_.storage->keptUploads("example.org", "/", "")),
            (KeptUploads{70 + 3 * 4096, 3}));
}

}  // namespace
}  // namespace egalaxyd
