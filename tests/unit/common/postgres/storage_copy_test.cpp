#include "common/postgres/storage_copy.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/sha256.h"
#include "common/cluster/own_sight.h"
#include "common/postgres/postgres_connector.h"
#include "common/storage/schema.h"
#include "common/storage/sqlite_handle.h"
#include "common/storage/sqlite_storage.h"
#include "tests/support/postgres_server.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd::postgres {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

WallTime at(std::int64_t second) { return WallTime(std::chrono::seconds(second)); }

/// A former single host: its database and its folder.
class SingleHost : public UploadFolders {
 public:
  SingleHost() {
    EXPECT_TRUE(migrateStorage(file()));
    auto opened = openSqliteStorage(file(), std::chrono::seconds(1));
    EXPECT_TRUE(opened);
    storage_ = std::move(*opened);
  }
  fs::path file() const { return dir_ / "egalaxyd.db"; }
  Storage& storage() { return *storage_; }
  const TempDir& dir() const { return dir_; }

  std::string meet(const std::string& who, std::int64_t second, std::uint64_t visits,
                   const std::string& key = "") {
    const std::string certificate = sha256Hex(who);
    const std::string own = sha256Hex(key.empty() ? who + " key" : key);
    const auto user = storage_->resolveUser(certificate, own, at(second), who);
    EXPECT_TRUE(user);
    const Visit visit{certificate, own, visits, at(second), true, who};
    EXPECT_TRUE(storage_->addVisits({&visit, 1}));
    return *user;
  }
  /// An upload as it goes: announced, what it replaces kept, settled.
  std::int64_t upload(const std::string& path, const std::string& content, std::int64_t second,
                      const std::string& user = "") {
    const auto before = storage_->latestUpload("a.test", path);
    EXPECT_TRUE(before);
    const std::string old = *before && !(*before)->sha256.empty() ? dir_.read(path.substr(1)) : "";
    UploadRecord record{.time = at(second),
                        .protocol = "titan",
                        .host = "a.test",
                        .path = path,
                        .user = user,
                        .mime = "text/gemini",
                        .size = content.size(),
                        .sha256 = content.empty() ? "" : sha256Hex(content)};
    const auto pending = storage_->announceUpload(record);
    EXPECT_TRUE(pending);
    if (!old.empty()) {
      OldContent kept{.mount = "",
                      .sha256 = sha256Hex(old),
                      .size = old.size(),
                      .written = at(second),
                      .expires = at(second + 1'000'000),
                      .rest = old};
      EXPECT_TRUE(storage_->keepVersion(*pending, kept, at(second)));
    }
    const auto outcome = content.empty() ? UploadOutcome::kDeleted
                         : old.empty()   ? UploadOutcome::kStored
                                         : UploadOutcome::kReplaced;
    const auto id = storage_->settleUpload(*pending, outcome, old.empty() ? "" : sha256Hex(old));
    EXPECT_TRUE(id);
    if (content.empty()) {
      fs::remove(dir_ / path.substr(1));
    } else {
      dir_.write(path.substr(1), content);
    }
    return *id;
  }

  Result<UniqueFd> open(const UploadRecord& record) override {
    UniqueFd fd(::open((dir_ / record.path.substr(1)).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Error{ErrorCode::kNotFound, "no such file"};
    return fd;
  }
  void leftOut(const UploadRecord& record, const std::string& why) override {
    told.push_back(record.path + ": " + why);
  }
  std::vector<std::string> told;

 private:
  TempDir dir_;
  std::unique_ptr<Storage> storage_;
};

/// All that a database keeps, as lines; contents by their sums.
std::vector<std::string> everything(const fs::path& file) {
  auto db = SqliteConnection::open(file, std::chrono::seconds(1));
  EXPECT_TRUE(db);
  std::vector<std::string> lines;
  for (const char* select :
       {"SELECT 'user ' || id || ' ' || first_seen || ' ' || last_seen || ' ' || visits || ' ' || "
        "claimed FROM users ORDER BY id",
        "SELECT 'key ' || key || ' ' || user FROM user_keys ORDER BY key",
        "SELECT 'value ' || user || ' ' || key || ' ' || hex(value) || ' ' || updated FROM "
        "metadata ORDER BY user, key",
        "SELECT 'upload ' || id || ' ' || time || ' ' || protocol || ' ' || host || path || ' ' || "
        "ifnull(user, '-') || ' ' || client || ' ' || mime || ' ' || size || ' ' || sha256 || ' ' "
        "|| previous_sha256 || ' ' || outcome || ' ' || latest || ' ' || why || ' ' || blocks || ' "
        "' || writer FROM uploads ORDER BY id",
        "SELECT 'version ' || replaced_by || ' ' || upload || ' ' || host || mount || path || ' ' "
        "|| sha256 || ' ' || versions.size || ' ' || ended || ' ' || ifnull(expires, '-') || ' ' "
        "|| refs FROM versions JOIN contents ON contents.id = content ORDER BY replaced_by",
        "SELECT 'content ' || sha256 || ' ' || size || ' ' || parts || ' ' || (SELECT "
        "sum(length(bytes)) FROM content_parts WHERE content_parts.id / 1048576 = contents.id) "
        "FROM contents WHERE sha256 <> '' ORDER BY sha256",
        "SELECT 'sum ' || host || mount || ' ' || bytes FROM version_sums ORDER BY host, mount"}) {
    SqliteQuery query(*db, select);
    while (query.next()) lines.emplace_back(query.text(0));
    EXPECT_FALSE(query.failed()) << query.error().message;
  }
  return lines;
}

class StorageCopy : public testing::Test {
 protected:
  StorageCopy() : name_(PostgresServer::shared().makeDatabase()) {
    auto connector = Connector::make(PostgresServer::shared().access(name_), sight_);
    EXPECT_TRUE(connector);
    auto connection = connector->connect();
    EXPECT_TRUE(connection) << connection.error().message;
    db_.emplace(std::move(*connection));
  }
  Result<CopiedRows> in(SingleHost& host, bool merge = false) {
    return copyFromSqlite(*db_, host.file(), host.file().string(), merge, host);
  }
  std::vector<std::string> back() {
    const fs::path file = dir_ / fmt::format("back{}.db", ++backs_);
    EXPECT_TRUE(migrateStorage(file));
    const auto copied = copyToSqlite(*db_, file);
    EXPECT_TRUE(copied) << copied.error().message;
    return everything(file);
  }
  std::string sql(const std::string& statement) const {
    return PostgresServer::shared().sql(name_, statement);
  }

  OwnSight sight_;
  std::string name_;
  std::optional<Connection> db_;
  TempDir dir_;
  int backs_ = 0;
};

void fillHost(SingleHost& host) {
  const std::string ann = host.meet("ann", 100, 3);
  const std::string bob = host.meet("bob", 200, 5);
  EXPECT_TRUE(host.storage().writeMetadata(ann, "k", std::string("a\0\xff'\"\\{}", 8), at(300)));
  EXPECT_TRUE(host.storage().writeMetadata(bob, "leer", "", at(301)));
  host.upload("/one.gmi", "one", 400, ann);
  host.upload("/one.gmi", std::string(200'000, 'x'), 401, bob);
  host.upload("/one.gmi", "one again", 402, ann);
  host.upload("/gone.gmi", "gone", 403);
  host.upload("/gone.gmi", "", 404);
  UploadRecord refused{.time = at(405),
                       .protocol = "spartan",
                       .host = "a.test",
                       .path = "/no",
                       .user = bob,
                       .writer = "Bob",
                       .client = "192.0.2.1",
                       .mime = "text/plain",
                       .size = 7,
                       .outcome = UploadOutcome::kRefused,
                       .why = "too \"large\""};
  EXPECT_TRUE(host.storage().recordUpload(refused));
}

TEST_F(StorageCopy, ThereAndBackIsTheSame) {
  SingleHost host;
  fillHost(host);
  const auto before = everything(host.file());
  const auto copied = in(host);
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(copied->users, 2U);
  EXPECT_EQ(copied->metadata, 2U);
  EXPECT_EQ(copied->uploads, 6U);
  EXPECT_EQ(copied->versions, 3U);
  EXPECT_THAT(host.told, IsEmpty());
  EXPECT_EQ(back(), before);
  // What the latest record of a place has is held, too.
  EXPECT_EQ(sql("SELECT convert_from(bytes, 'UTF8') FROM egalaxyd.uploads AS u JOIN "
                "egalaxyd.content_parts AS p USING(content) WHERE latest AND path = '/one.gmi'"),
            "one again");
  EXPECT_EQ(sql("SELECT count(*) FROM egalaxyd.contents WHERE refs <> 1 OR sha256 = ''"), "0");
}

TEST_F(StorageCopy, AHundredThousandUsersAndTenThousandUploadsGoThereAndBack) {
  SingleHost host;
  {
    auto db = SqliteConnection::open(host.file(), std::chrono::seconds(1));
    ASSERT_TRUE(db);
    ASSERT_TRUE(db->runScript(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT "
        "INTO users SELECT printf('%064x', i), i, i + 5, i % 7, '' FROM n;"
        "INSERT INTO user_keys SELECT printf('%064x', 1000000 + first_seen), id FROM users;"
        "INSERT INTO metadata SELECT id, 'name', CAST('user ' || first_seen AS BLOB), last_seen "
        "FROM users WHERE first_seen % 10 = 0"));
    ASSERT_TRUE(db->runScript("BEGIN"));
    for (int i = 0; i < 10'000; ++i) {
      const std::string content = fmt::format("page {}", i);
      host.dir().write(fmt::format("{}.gmi", i), content);
      ASSERT_TRUE(db->run(
          "INSERT INTO uploads(time, protocol, host, path, user, client, mime, size, sha256, "
          "previous_sha256, outcome, latest) VALUES(?1, 'titan', 'a.test', ?2, NULL, '', "
          "'text/gemini', ?3, ?4, '', 'stored', 1)",
          std::int64_t{i}, fmt::format("/{}.gmi", i), static_cast<std::int64_t>(content.size()),
          sha256Hex(content)));
    }
    ASSERT_TRUE(db->runScript("COMMIT"));
  }
  const auto copied = in(host);
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(copied->users, 100'000U);
  EXPECT_EQ(copied->uploads, 10'000U);
  EXPECT_EQ(copied->contents, 10'000U);
  EXPECT_EQ(back(), everything(host.file()));
}

TEST_F(StorageCopy, AFileThatIsNotAsItsRecordSaysIsListedAndStaysTheHosts) {
  SingleHost host;
  host.upload("/edited.gmi", "one", 1);
  host.upload("/missing.gmi", "two", 2);
  host.upload("/right.gmi", "three", 3);
  host.dir().write("edited.gmi", "by hand");
  fs::remove(host.dir() / "missing.gmi");
  ASSERT_TRUE(in(host));
  EXPECT_THAT(host.told, ElementsAre(HasSubstr("/edited.gmi: another file"),
                                     HasSubstr("/missing.gmi: no such file")));
  EXPECT_EQ(sql("SELECT string_agg(path, ' ') FROM egalaxyd.uploads WHERE latest"), "/right.gmi");
  EXPECT_EQ(sql("SELECT count(*) FROM egalaxyd.uploads"), "3");
}

TEST_F(StorageCopy, ASecondHostIsMerged) {
  SingleHost one;
  SingleHost two;
  const std::string ann = one.meet("ann", 100, 3);
  one.meet("bob", 200, 5, "bob's key");
  ASSERT_TRUE(two.meet("ann", 50, 4) == ann);
  two.meet("ann", 150, 1);
  const std::string renewed = two.meet("bob, renewed", 300, 2, "bob's key");
  two.meet("eve", 1, 1);
  ASSERT_TRUE(one.storage().writeMetadata(ann, "a", "old", at(100)));
  ASSERT_TRUE(two.storage().writeMetadata(ann, "a", "new", at(120)));
  ASSERT_TRUE(one.storage().writeMetadata(ann, "b", "new", at(121)));
  ASSERT_TRUE(two.storage().writeMetadata(ann, "b", "old", at(101)));
  one.upload("/x.gmi", "x of one", 10);
  two.upload("/x.gmi", "x of two", 20, renewed);
  two.upload("/x.gmi", "x of two, again", 21, renewed);
  one.upload("/y.gmi", "y of one", 30);
  two.upload("/y.gmi", "y of two", 25);
  ASSERT_TRUE(in(one));
  EXPECT_FALSE(in(two));  // it would take the place of the first
  const auto merged = in(two, true);
  ASSERT_TRUE(merged) << merged.error().message;
  EXPECT_EQ(merged->users, 1U);
  EXPECT_EQ(merged->uploads, 3U);
  EXPECT_EQ(sql("SELECT first_seen || ' ' || last_seen || ' ' || visits FROM egalaxyd.users WHERE "
                "id = '" +
                ann + "'"),
            "50 150 8");
  EXPECT_EQ(sql("SELECT count(*) FROM egalaxyd.users"), "3");  // who renewed is one
  EXPECT_EQ(sql("SELECT string_agg(convert_from(value, 'UTF8'), ' ') FROM egalaxyd.metadata"),
            "new new");
  EXPECT_EQ(sql("SELECT string_agg(convert_from(bytes, 'UTF8'), '; ' ORDER BY path) FROM "
                "egalaxyd.uploads JOIN egalaxyd.content_parts USING(content) WHERE latest"),
            "x of two, again; y of one");
  EXPECT_EQ(sql("SELECT count(*) FROM egalaxyd.versions"), "1");
  EXPECT_EQ(sql("SELECT count(*) FROM egalaxyd.contents WHERE sha256 <> '' AND refs <> 1"), "0");
}

TEST_F(StorageCopy, WhatWasCopiedBeforeComesNotTwice) {
  SingleHost host;
  fillHost(host);
  const auto before = everything(host.file());
  ASSERT_TRUE(in(host));
  const auto merged = in(host, true);
  ASSERT_TRUE(merged) << merged.error().message;
  EXPECT_EQ(merged->users + merged->uploads + merged->versions + merged->contents, 0U);
  EXPECT_EQ(back(), before);
  // As a rehearsal is followed by the copy that counts.
  host.upload("/one.gmi", "later", 500);
  const auto again = in(host);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(back(), everything(host.file()));
}

TEST_F(StorageCopy, OfAHostThatServedOnOnlyTheVisitsSinceAreAdded) {
  SingleHost one;
  SingleHost two;
  const std::string ann = one.meet("ann", 100, 3);
  two.meet("ann", 50, 4);
  ASSERT_TRUE(in(one));
  ASSERT_TRUE(in(two, true));
  const auto visits = [&] { return sql("SELECT visits FROM egalaxyd.users"); };
  EXPECT_EQ(visits(), "7");
  two.meet("ann", 300, 10);
  ASSERT_TRUE(in(two, true));
  EXPECT_EQ(visits(), "17");
  ASSERT_TRUE(in(two, true));
  ASSERT_TRUE(in(one, true));
  EXPECT_EQ(visits(), "17");
  sql("DELETE FROM egalaxyd.users");
  ASSERT_TRUE(in(two, true));
  EXPECT_EQ(visits(), "14") << "nobody is known who was forgotten";
}

TEST_F(StorageCopy, ADatabaseThatServersUseIsAddedToOnly) {
  SingleHost host;
  fillHost(host);
  ASSERT_TRUE(in(host));
  sql("SELECT egalaxyd.fence('h1/worker/0')");
  const auto again = in(host);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kExists);
  EXPECT_THAT(again.error().message, HasSubstr("--merge"));
}

TEST_F(StorageCopy, AnInterruptedUploadIsForTheServerToSettleFirst) {
  SingleHost host;
  UploadRecord record{.time = at(1), .protocol = "titan", .host = "a.test", .path = "/x"};
  ASSERT_TRUE(host.storage().announceUpload(record));
  const auto copied = in(host);
  ASSERT_FALSE(copied);
  EXPECT_THAT(copied.error().message, HasSubstr("1 uploads were interrupted"));
}

}  // namespace
}  // namespace egalaxyd::postgres
