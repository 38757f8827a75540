#include "master/child/storage_query.h"

#include <Poco/JSON/Array.h>
#include <Poco/JSON/Parser.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include "tests/support/faulty_storage.h"
#include "tests/support/memory_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;
using testing::ElementsAre;
using testing::HasSubstr;
using Arguments = std::map<std::string, std::string>;

class StorageQueryTest : public testing::Test {
 protected:
  StorageQueryTest() {
    for (const char* name : {"abc1", "abc2", "def"}) {
      must(storage_->resolveUser(fingerprint(name), fingerprint("e" + std::string(name)), at(100)));
    }
    upload("/a", "");
    upload("/a/b", fingerprint("def"));
    upload("/c", fingerprint("def"), "other.org", 2000);
  }
  void upload(const std::string& path, const std::string& user,
              const std::string& host = "example.org", std::int64_t time = 1000) {
    UploadRecord record = stored(path, 5, user);
    record.host = host;
    record.time = at(time);
    must(storage_->recordUpload(record));
  }

  /// As the client gets it.
  Object::Ptr ask(const std::string& command, const Arguments& arguments) {
    ControlRequest request;
    request.command = command;
    request.arguments = arguments;
    const auto query = readStorageQuery(request);
    const Object answer = query ? answerStorageQuery(*query, *storage_, people_)
                                : controlFailure(query.error().message);
    return Poco::JSON::Parser().parse(encodeControlAnswer(answer)).extract<Object::Ptr>();
  }
  std::string refusal(const std::string& command, const Arguments& arguments) {
    const auto answer = ask(command, arguments);
    EXPECT_FALSE(answer->getValue<bool>("ok")) << command;
    return answer->optValue<std::string>("error", "");
  }
  std::vector<std::string> paths(const Arguments& filter) {
    std::vector<std::string> found;
    const auto rows = ask("uploads", filter)->getArray("uploads");
    for (const auto& row : *rows) {
      found.push_back(row.extract<Object::Ptr>()->getValue<std::string>("path"));
    }
    return found;
  }

  std::unique_ptr<Storage> storage_ = makeMemoryStorage();
  People people_;
};

TEST_F(StorageQueryTest, KnowsItsCommands) {
  for (const auto command : {ControlCommand::kUsers, ControlCommand::kUploads}) {
    EXPECT_TRUE(readStorageQuery(command)) << nameOf(command);
  }
  EXPECT_EQ(refusal("status", {}), "no such query: status");
  EXPECT_EQ(refusal("nonsense", {}), "no such query: nonsense");
}

TEST_F(StorageQueryTest, ListsUsersUpToTheLimitAndSaysWhetherThereAreMore) {
  const auto two = ask("users", {{"limit", "2"}});
  EXPECT_EQ(two->getArray("users")->size(), 2u);
  EXPECT_TRUE(two->getValue<bool>("users_more"));
  const auto all = ask("users", {{"limit", "3"}});
  EXPECT_EQ(all->getArray("users")->size(), 3u);
  EXPECT_FALSE(all->getValue<bool>("users_more"));
  const auto first = all->getArray("users")->getObject(0);
  EXPECT_EQ(first->getValue<std::string>("id"), fingerprint("abc1"));
  EXPECT_EQ(first->getValue<int>("last_seen"), 100);
  EXPECT_EQ(first->getArray("keys")->getElement<std::string>(0), fingerprint("eabc1"));
}

TEST_F(StorageQueryTest, FindsUploadsByEachFilter) {
  EXPECT_THAT(paths({}), ElementsAre("/c", "/a/b", "/a"));
  EXPECT_THAT(paths({{"host", "Example.ORG"}}), ElementsAre("/a/b", "/a"));
  EXPECT_THAT(paths({{"path", "/a"}}), ElementsAre("/a/b", "/a"));
  EXPECT_THAT(paths({{"path", "/a/"}}), ElementsAre("/a/b", "/a"));
  EXPECT_THAT(paths({{"user", "DEF"}}), ElementsAre("/c", "/a/b"));
  EXPECT_THAT(paths({{"since", "1001"}}), ElementsAre("/c"));
  EXPECT_THAT(paths({{"limit", "1"}}), ElementsAre("/c"));
  EXPECT_THAT(paths({{"user", "def"}, {"host", "example.org"}}), ElementsAre("/a/b"));
  EXPECT_TRUE(ask("uploads", {{"limit", "2"}})->getValue<bool>("uploads_more"));
}

TEST_F(StorageQueryTest, ShowsOneUpload) {
  const auto record = ask("upload", {{"id", "2"}})->getObject("upload");
  EXPECT_EQ(record->getValue<std::string>("path"), "/a/b");
  EXPECT_EQ(record->getValue<std::string>("sha256"), fingerprint("5a"));
  EXPECT_EQ(record->getValue<std::string>("outcome"), "stored");
  EXPECT_EQ(refusal("upload", {{"id", "99"}}), "no upload 99");
}

TEST_F(StorageQueryTest, ShowsNoBytesThatAClientMadeUp) {
  UploadRecord record = stored("/x", 5, "");
  record.mime = "\xFF\x1b[2J";
  const std::int64_t id = must(storage_->recordUpload(record));
  const auto shown = ask("upload", {{"id", std::to_string(id)}})->getObject("upload");
  EXPECT_EQ(shown->getValue<std::string>("mime"), "??[2J");
}

TEST_F(StorageQueryTest, ShowsAUserWithMetadataAndUploads) {
  const std::string user = fingerprint("def");
  must(storage_->writeMetadata(user, "text", "grüße\n\"🌌\"", at(1)));
  must(storage_->writeMetadata(user, "bytes", std::string("\xff\0", 2), at(1)));
  must(storage_->writeMetadata(user, "escape", "\x1b[2J", at(1)));
  const auto answer = ask("user", {{"id", "d"}});
  EXPECT_EQ(answer->getObject("user")->getValue<std::string>("id"), user);
  EXPECT_EQ(answer->getArray("uploads")->size(), 2u);
  const auto metadata = answer->getArray("metadata");
  ASSERT_EQ(metadata->size(), 3u);
  EXPECT_EQ(metadata->getObject(0)->getValue<std::string>("hex"), "ff00");
  EXPECT_EQ(metadata->getObject(1)->getValue<std::string>("hex"), "1b5b324a");
  EXPECT_EQ(metadata->getObject(2)->getValue<std::string>("value"), "grüße\n\"🌌\"");
  EXPECT_EQ(metadata->getObject(2)->getValue<int>("bytes"), 14);
}

TEST_F(StorageQueryTest, UsersHaveTheNamesOfTodaysConfiguration) {
  people_ = {{fingerprint("def"), "ann"}, {fingerprint("eabc1"), "bob"}};
  const auto nameOf = [this](const std::string& id) {
    return ask("user", {{"id", id}})->getObject("user")->getValue<std::string>("name");
  };
  EXPECT_EQ(nameOf("def"), "ann");
  EXPECT_EQ(nameOf("abc1"), "bob") << "by the public key";
  EXPECT_EQ(nameOf("abc2"), "");
}

TEST_F(StorageQueryTest, WhatACertificateClaimsIsNoName) {
  const Visit visit{fingerprint("def"), fingerprint("edef"), 1, at(200), false, "ann\x1b[2J"};
  must(storage_->addVisits({&visit, 1}));
  const auto user = ask("user", {{"id", "def"}})->getObject("user");
  EXPECT_EQ(user->getValue<std::string>("claimed"), "ann?[2J");
  EXPECT_EQ(user->getValue<std::string>("name"), "");
}

TEST_F(StorageQueryTest, FindsUploadsByTheNameOfTheirWriter) {
  UploadRecord record = stored("/named", 5);
  record.writer = "ann";
  const std::int64_t id = must(storage_->recordUpload(record));
  EXPECT_THAT(paths({{"user", "@ann"}}), ElementsAre("/named"));
  EXPECT_THAT(paths({{"user", "@bob"}}), ElementsAre());
  EXPECT_THAT(refusal("uploads", {{"user", "@a b"}}), HasSubstr("\"@a b\" is no name"));
  const auto shown = ask("upload", {{"id", std::to_string(id)}})->getObject("upload");
  EXPECT_EQ(shown->getValue<std::string>("writer"), "ann");
}

TEST_F(StorageQueryTest, CutsAnAnswerThatWouldBeTooLong) {
  for (int i = 0; i < 20; ++i) {
    must(storage_->writeMetadata(fingerprint("def"), "k" + std::to_string(i),
                                 std::string(kMaxMetadataBytes, '\t'), at(1)));
  }
  const auto answer = ask("user", {{"id", "def"}});
  EXPECT_EQ(answer->getArray("metadata")->size(), 3u);
  EXPECT_TRUE(answer->getValue<bool>("metadata_more"));
}

TEST_F(StorageQueryTest, ForgetsAUserAndSaysWhatWent) {
  must(storage_->writeMetadata(fingerprint("def"), "k", "v", at(1)));
  const auto answer = ask("forget_user", {{"id", "de"}});
  EXPECT_EQ(answer->getValue<std::string>("user"), fingerprint("def"));
  EXPECT_EQ(answer->getValue<int>("keys"), 1);
  EXPECT_EQ(answer->getValue<int>("metadata"), 1);
  EXPECT_EQ(answer->getValue<int>("uploads"), 2);
  EXPECT_THAT(refusal("user", {{"id", "def"}}), HasSubstr("no user def"));
  const auto record = ask("upload", {{"id", "2"}})->getObject("upload");
  EXPECT_EQ(record->getValue<std::string>("user"), "");
  EXPECT_EQ(record->getValue<std::string>("client"), "");
}

TEST_F(StorageQueryTest, RefusesAUserThatIsNotClear) {
  for (const char* command : {"user", "forget_user"}) {
    EXPECT_THAT(refusal(command, {{"id", "abc"}}), HasSubstr("several users begin with abc"));
    EXPECT_THAT(refusal(command, {{"id", "77"}}), HasSubstr("no user 77"));
  }
  EXPECT_THAT(refusal("uploads", {{"user", "abc"}}), HasSubstr("several users"));
  EXPECT_EQ(ask("users", {})->getArray("users")->size(), 3u) << "no one was forgotten";
}

TEST_F(StorageQueryTest, RefusesArgumentsThatMakeNoSense) {
  const std::pair<const char*, Arguments> requests[] = {{"users", {{"limit", "0"}}},
                                                        {"users", {{"limit", "1001"}}},
                                                        {"users", {{"limit", "ten"}}},
                                                        {"users", {{"since", "5"}}},
                                                        {"user", {}},
                                                        {"user", {{"id", ""}}},
                                                        {"user", {{"id", "%"}}},
                                                        {"user", {{"id", std::string(65, 'a')}}},
                                                        {"forget_user", {}},
                                                        {"uploads", {{"limit", "1x"}}},
                                                        {"uploads", {{"path", "a"}}},
                                                        {"uploads", {{"since", "-1"}}},
                                                        {"uploads", {{"since", "now"}}},
                                                        {"uploads", {{"user", "alice"}}},
                                                        {"uploads", {{"frob", "1"}}},
                                                        {"upload", {}},
                                                        {"upload", {{"id", "0"}}},
                                                        {"upload", {{"id", "one"}}}};
  for (const auto& [command, arguments] : requests) {
    ControlRequest request;
    request.command = command;
    request.arguments = arguments;
    const auto query = readStorageQuery(request);
    ASSERT_FALSE(query) << command << ' ' << arguments.size();
    EXPECT_EQ(query.error().code, ErrorCode::kInvalid);
    EXPECT_NE(query.error().message, "");
  }
}

TEST_F(StorageQueryTest, TellsWhatAilsTheStorage) {
  auto faulty = std::make_unique<FaultyStorage>(std::move(storage_), 0);
  faulty->failAlways(Error{ErrorCode::kBusy, "another process holds the lock"});
  storage_ = std::move(faulty);
  EXPECT_EQ(refusal("users", {}), "another process holds the lock");
  EXPECT_EQ(refusal("forget_user", {{"id", "def"}}), "another process holds the lock");
}

TEST_F(StorageQueryTest, ListsWhatIsPendingByTheSameFilter) {
  must(storage_->announceUpload(stored("/a/pending", 7)));
  must(storage_->announceUpload(stored("/z", 7)));
  const auto rows = ask("uploads", {{"path", "/a"}})->getArray("pending");
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->getObject(0)->getValue<std::string>("outcome"), "pending");
  EXPECT_EQ(rows->getObject(0)->getValue<std::string>("path"), "/a/pending");
}

TEST_F(StorageQueryTest, NoRowKeepsAQueryFromWorking) {
  const TempDir dir;
  const auto file = dir / "egalaxyd.db";
  storage_ = migratedSqlite(file);
  const std::string user = fingerprint("abc");
  must(storage_->resolveUser(user, fingerprint("e"), at(100)));
  const std::string huge = "cast(zeroblob(20000) AS TEXT)";
  const std::string odd = "cast(x'00ff1b5b324aed' AS TEXT)";
  // Each in all the columns that take it; the good row comes last in every list.
  for (const std::string& text : {std::string("''"), huge, odd}) {
    for (const char* number :
         {"0", "-1", "9223372036854775807", "-9223372036854775808", "1700000000"}) {
      runSql(file,
             fmt::format(
                 "INSERT INTO uploads(time, protocol, host, path, user, client, mime, "
                 "size, sha256, previous_sha256, outcome, latest, why, writer) VALUES({1}, {0}, "
                 "{0}, {0}, NULL, {0}, {0}, {1}, {0}, {0}, {0}, 0, {0}, {0});"
                 "INSERT INTO pending_uploads(time, protocol, host, path, user, "
                 "client, mime, size, sha256, worker, unfinished, writer) VALUES({1}, "
                 "{0}, {0}, {0}, NULL, {0}, {0}, {1}, {0}, {1}, {0}, {0});",
                 text, number));
      runSql(
          file,
          fmt::format("INSERT OR REPLACE INTO users VALUES({0}, {1}, {1}, {1}, {0});"
                      "INSERT OR REPLACE INTO users VALUES('b' || {0}, {1}, {1}, {1}, {0});"
                      "INSERT OR REPLACE INTO user_keys VALUES({0}, '{2}');"
                      "INSERT OR REPLACE INTO metadata VALUES('{2}', {0}, cast({0} AS BLOB), {1});",
                      text, number, user));
    }
  }
  upload("/good", user);
  const std::int64_t good = must(storage_->latestUpload("example.org", "/good"))->id;
  for (const auto& [command, arguments] :
       std::vector<std::pair<std::string, Arguments>>{{"users", {}},
                                                      {"users", {{"limit", "1000"}}},
                                                      {"user", {{"id", "abc"}}},
                                                      {"uploads", {}},
                                                      {"uploads", {{"limit", "1000"}}},
                                                      {"uploads", {{"path", "/good"}}},
                                                      {"uploads", {{"user", "abc"}}},
                                                      {"upload", {{"id", "1"}}},
                                                      {"upload", {{"id", "2"}}},
                                                      {"upload", {{"id", std::to_string(good)}}}}) {
    const auto answer = ask(command, arguments);
    EXPECT_TRUE(answer->getValue<bool>("ok"))
        << command << ": " << answer->optValue<std::string>("error", "");
  }
  EXPECT_THAT(paths({{"path", "/good"}}), ElementsAre("/good"));
  EXPECT_THAT(paths({{"limit", "1000"}}), testing::Contains("/good"));
  const auto users = ask("users", {{"limit", "1000"}})->getArray("users");
  bool seen = false;
  for (const auto& row : *users) {
    seen = seen || row.extract<Object::Ptr>()->getValue<std::string>("id") == user;
  }
  EXPECT_TRUE(seen);
  EXPECT_TRUE(ask("forget_user", {{"id", "abc"}})->getValue<bool>("ok"));
}

}  // namespace
}  // namespace egalaxyd
