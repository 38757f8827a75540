// What the module offers besides a storage: tables, and connections for those who do not write.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/sha256.h"
#include "common/cluster/own_sight.h"
#include "tests/support/deadline.h"
#include "tests/unit/common/storage/storage_engines.h"

extern "C" const egalaxyd::DatabaseEngine* egalaxyd_database_engine();

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;

class PostgresEngineTest : public testing::Test {
 protected:
  std::string emptyDatabase(const std::string& name, const std::string& options) {
    server_.sql("postgres", "CREATE DATABASE " + name + " TEMPLATE template0 " + options);
    return name;
  }
  std::string refusal(const DatabaseAccess& access) {
    const auto done = engine_.migrate(access);
    return done ? "" : done.error().message;
  }
  std::unique_ptr<DatabaseLink> link() { return must(engine_.openLink(access_, sight_)); }
  std::int64_t put(Storage& storage, const std::string& path, const std::string& content) {
    UploadRecord record = stored(path, content.size());
    record.sha256 = sha256Hex(content);
    const auto pending = must(storage.announceUpload(record));
    must(storage.bringContent(pending, {0, content}, at(5)));
    return must(storage.settleUpload(pending, UploadOutcome::kStored, ""));
  }

  PostgresServer& server_ = PostgresServer::shared();
  const DatabaseEngine& engine_ = *egalaxyd_database_engine();
  DatabaseAccess access_ = server_.access(server_.makeDatabase());
  OwnSight sight_;
};

TEST_F(PostgresEngineTest, MakesTablesOnce) {
  const auto access = server_.access(emptyDatabase("empty", "ENCODING 'UTF8' LC_COLLATE 'C'"));
  EXPECT_EQ(must(must(engine_.openLink(access, sight_))->facts()).schemaVersion, 0);
  must(engine_.migrate(access));
  must(engine_.migrate(access));
  EXPECT_EQ(must(must(engine_.openLink(access, sight_))->facts()).schemaVersion, 1);
}

TEST_F(PostgresEngineTest, SaysWhatToMend) {
  const auto latin = server_.access(emptyDatabase("latin", "ENCODING 'LATIN1' LC_COLLATE 'C'"));
  EXPECT_NE(refusal(latin).find("ENCODING 'UTF8' LC_COLLATE 'C'"), std::string::npos);
  const auto utf8 = server_.access(
      emptyDatabase("utf", "ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"));
  EXPECT_NE(refusal(utf8).find("collation C.UTF-8"), std::string::npos);
  EXPECT_EQ(must(engine_.openLink(utf8, sight_))->examine().error().message, refusal(utf8));
}

TEST_F(PostgresEngineTest, ARoleWithoutRightsIsToldWhichItNeeds) {
  emptyDatabase("strict", "ENCODING 'UTF8' LC_COLLATE 'C'");
  server_.sql("postgres", "CREATE ROLE weak LOGIN");
  DatabaseAccess weak = server_.access("strict");
  weak.url = "postgresql://weak@/strict?host=" + server_.socketFolder().string();
  EXPECT_NE(refusal(weak).find("CREATE SCHEMA egalaxyd AUTHORIZATION"), std::string::npos)
      << refusal(weak);
  EXPECT_EQ(must(engine_.openLink(weak, sight_))->examine().error().message, refusal(weak));
  server_.sql("strict", "CREATE SCHEMA egalaxyd");
  EXPECT_NE(refusal(weak).find("'s, not weak's; let storage.url"), std::string::npos)
      << refusal(weak);
  EXPECT_EQ(must(engine_.openLink(weak, sight_))->examine().error().message, refusal(weak));
  server_.sql("strict", "ALTER SCHEMA egalaxyd OWNER TO weak");
  EXPECT_EQ(refusal(weak), "");
  EXPECT_TRUE(engine_.openStorage(weak, "0", {}, sight_));
}

TEST_F(PostgresEngineTest, ADatabaseThatIsAwayIsBusy) {
  DatabaseAccess away = access_;
  away.url = "postgresql:///x?host=/nowhere/at/all";
  EXPECT_EQ(engine_.migrate(away).error().code, ErrorCode::kBusy);
  EXPECT_EQ(engine_.openStorage(away, "0", {}, sight_).error().code, ErrorCode::kBusy);
  EXPECT_EQ(must(engine_.openLink(away, sight_))->facts().error().code, ErrorCode::kBusy);
}

TEST_F(PostgresEngineTest, TheHostThatAnswersIsFoundBehindOnesThatDoNot) {
  access_.url.replace(access_.url.find("host=") + 5, 0, "/nowhere/at/all,");
  must(engine_.openStorage(access_, "0", {}, sight_));
  const auto facts = must(link()->facts());
  EXPECT_EQ(facts.server, server_.socketFolder().string());
  EXPECT_EQ(facts.standbys, 0);
  EXPECT_EQ(facts.timeline, 1u);
  EXPECT_FALSE(facts.waitsForStandby);
}

TEST_F(PostgresEngineTest, AFollowerLearnsWhatChanged) {
  auto storage = must(engine_.openStorage(access_, "0", {}, sight_));
  auto follower = link();
  const auto first = put(*storage, "/a", "one");
  const auto all = must(follower->allFiles(nullptr, 10));
  EXPECT_TRUE(follower->isNew());
  EXPECT_FALSE(follower->isNew());
  ASSERT_EQ(all.files.size(), 1u);
  EXPECT_EQ(all.files[0].upload, first);
  EXPECT_EQ(all.files[0].sha256, sha256Hex("one"));
  EXPECT_EQ(must(follower->readContent(all.files[0].content, 0)), "one");

  must(storage->begin(Access::kWrite));
  const auto second = put(*storage, "/b", "two");
  const auto early = must(follower->changesSince(all.position));
  EXPECT_TRUE(early.files.empty()) << "not committed yet";
  put(*must(engine_.openStorage(access_, "1", {}, sight_)), "/c", "three");
  const auto between = must(follower->changesSince(early.position));
  EXPECT_EQ(between.files.size(), 1u);
  must(storage->commit());
  const auto late = must(follower->changesSince(between.position));
  EXPECT_TRUE(std::any_of(late.files.begin(), late.files.end(), [&](const SharedFile& file) {
    return file.upload == second;
  })) << "although a later one was told of before";
  EXPECT_TRUE(must(follower->changesSince(late.position)).files.empty());
}

TEST_F(PostgresEngineTest, FilesComeInPages) {
  auto storage = must(engine_.openStorage(access_, "0", {}, sight_));
  for (const char* path : {"/c", "/a", "/b"}) put(*storage, path, path);
  auto follower = link();
  const auto first = must(follower->allFiles(nullptr, 2));
  ASSERT_EQ(first.files.size(), 2u);
  EXPECT_EQ(first.files[1].path, "/b");
  const auto second = must(follower->allFiles(&first.files[1], 2));
  ASSERT_EQ(second.files.size(), 1u);
  EXPECT_EQ(second.files[0].path, "/c");
  EXPECT_TRUE(must(follower->allFiles(&second.files[0], 2)).files.empty());
}

TEST_F(PostgresEngineTest, AFollowerWaitsUntilItIsTold) {
  auto follower = link();
  must(follower->waitForChanges(milliseconds(1), -1));
  must(link()->tellOfChanges());
  const Deadline deadline;
  must(follower->waitForChanges(kPatience, -1));
  EXPECT_FALSE(deadline.passed()) << "nobody told";
}

TEST_F(PostgresEngineTest, HostsReportThemselvesUnderOneNameEach) {
  auto one = link();
  const FleetHost mine{"h1", "1.0", 3, "ab", "i1", 0, 100, 0};
  must(one->report(mine));
  must(one->report(mine));
  FleetHost other = mine;
  other.instance = "i2";
  EXPECT_EQ(one->report(other).error().code, ErrorCode::kExists);
  other.name = "h2";
  must(one->report(other));
  const auto fleet = must(one->fleet());
  ASSERT_EQ(fleet.size(), 2u);
  EXPECT_EQ(fleet[0].instance, "i1");
  EXPECT_EQ(fleet[0].generation, 3);
  EXPECT_GT(fleet[0].seen, 0);
}

TEST_F(PostgresEngineTest, TheFirstCertificateOfAHostIsEverybodys) {
  auto one = link();
  EXPECT_EQ(must(one->shareCertificate({"a", "C1", "K1", 5})).certificate, "C1");
  EXPECT_EQ(must(one->shareCertificate({"a", "C2", "K2", 6})).key, "K1");
  EXPECT_EQ(must(one->certificates()).size(), 1u);
}

}  // namespace
}  // namespace egalaxyd
