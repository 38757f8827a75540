// What egalaxyctl tells an operator of users, uploads, rate limits and certificates.
#include <Poco/JSON/Array.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <utility>

#include "common/base/unique_fd.h"
#include "common/base/units.h"
#include "common/tls/certificate_names.h"
#include "tests/blackbox/ask_json.h"
#include "tests/support/capsule.h"
#include "tests/support/control_client.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;
using testing::HasSubstr;
using testing::Not;

/// Somebody else who has the database to himself.
class DatabaseLock {
 public:
  explicit DatabaseLock(const std::filesystem::path& file) {
    EXPECT_EQ(sqlite3_open(file.c_str(), &database_), SQLITE_OK);
    sqlite3_busy_timeout(database_, 30'000);  // a worker may be writing
    EXPECT_EQ(sqlite3_exec(database_, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr), SQLITE_OK);
  }
  ~DatabaseLock() { release(); }
  DatabaseLock(const DatabaseLock&) = delete;
  DatabaseLock& operator=(const DatabaseLock&) = delete;

  void release() { sqlite3_close(std::exchange(database_, nullptr)); }

 private:
  sqlite3* database_ = nullptr;
};

class Operator : public testing::Test {
 protected:
  Operator() {
    settings.certificate = &alice;
    capsule.page("index.gmi", "# One\n");
    capsule.sites(
        "[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \"root\"\n"
        "[sites.\"localhost\".\"/\".upload]\nanyone = true\nfingerprints = [\"*\"]\n"
        "max_size = \"1KiB\"\ncreate_directories = true\n"
        "[sites.\"localhost\".\"/say\"]\nmodule = \"input\"\nas_meta = true\nkey = \"said\"\n");
  }

  Finished ctl(const std::vector<std::string>& words) const { return capsule.ctl(words); }
  Object::Ptr json(const std::vector<std::string>& words) const { return askJson(capsule, words); }
  std::vector<std::string> paths(std::vector<std::string> filter) const {
    filter.insert(filter.begin(), "uploads");
    std::vector<std::string> found;
    const auto rows = json(filter)->getArray("uploads");
    for (const auto& row : *rows) {
      found.push_back(row.extract<Object::Ptr>()->getValue<std::string>("path"));
    }
    return found;
  }

  void put(const std::string& path, const std::string& text, const TlsSettings& who) const {
    const std::string titan = "titan://localhost:" + std::to_string(capsule.port()) + path +
                              ";mime=text/plain;size=" + std::to_string(text.size()) + "\r\n";
    const Reply reply = exchange(capsule.port(), titan + text, who);
    EXPECT_EQ(reply.status, 30) << reply;
  }
  void say(const std::string& word) const {
    const Reply reply = capsule.get("/say?" + word, settings);
    ASSERT_EQ(reply.status, 20) << reply;
  }
  std::string id() const { return certificateFingerprint(alice.certificate.get()); }

  Capsule capsule;
  const TestCertificate alice = makeTestCertificate();
  TlsSettings settings;
};

TEST_F(Operator, ListsAndShowsUsersWhileTwoWorkersServe) {
  capsule.start();
  EXPECT_EQ(ctl({"users"}).out, "no users\n");
  say("hello%20there");
  const TestCertificate bob = makeTestCertificate({.commonName = "Bob"});
  TlsSettings other;
  other.certificate = &bob;
  EXPECT_EQ(capsule.get("/say?x", other).status, 20);
  EXPECT_EQ(json({"users"})->getArray("users")->size(), 2u);
  EXPECT_TRUE(json({"users", "--limit", "1"})->getValue<bool>("users_more"));
  EXPECT_THAT(ctl({"users", "--limit", "1"}).out, HasSubstr("there are more"));
  EXPECT_THAT(ctl({"users"}).out, HasSubstr(id().substr(0, 16) + "  "));
  for (const std::size_t digits : {std::size_t{16}, std::size_t{64}}) {
    const Finished shown = ctl({"users", "show", id().substr(0, digits)});
    EXPECT_EQ(shown.status.code, 0) << shown.all();
    EXPECT_THAT(shown.out, HasSubstr("user        " + id() + "\n"));
    EXPECT_THAT(shown.out, HasSubstr("said      11     hello there\n"));
  }
}

TEST_F(Operator, ForgetsAUserButKeepsTheUploads) {
  capsule.start();
  say("hello");
  put("/a.txt", "text", settings);
  const std::size_t mark = capsule.logMark();
  const Finished gone = ctl({"users", "forget", id()});
  EXPECT_EQ(gone.status.code, 0) << gone.all();
  EXPECT_THAT(gone.out, HasSubstr("removed user " + id() + ": keys 1, metadata 1\n"));
  EXPECT_THAT(gone.out, HasSubstr("without user and address: 1\n"));
  EXPECT_TRUE(capsule.waitForLog("control: \"forget_user " + id() + "\" from process", mark));
  EXPECT_EQ(ctl({"users"}).out, "no users\n");
  const auto record = json({"uploads"})->getArray("uploads")->getObject(0);
  EXPECT_EQ(record->getValue<std::string>("path"), "/a.txt");
  EXPECT_EQ(record->getValue<std::string>("user"), "");
  EXPECT_EQ(record->getValue<std::string>("client"), "");
  const Finished again = ctl({"users", "forget", id()});
  EXPECT_EQ(again.status.code, 1);
  EXPECT_EQ(again.err, "egalaxyctl: no user " + id() + "\n");
  say("back");
  EXPECT_THAT(ctl({"users", "show", id()}).out, HasSubstr("back\n")) << "a new user since";
}

TEST_F(Operator, ShowsWhatWasUploadedAndByWhom) {
  capsule.start();
  put("/new.txt", "hello", settings);
  const auto row = json({"uploads"})->getArray("uploads")->getObject(0);
  const Finished shown = ctl({"uploads", "show", row->getValue<std::string>("id")});
  EXPECT_EQ(shown.status.code, 0) << shown.all();
  EXPECT_THAT(shown.out, HasSubstr("outcome     stored\n"));
  EXPECT_THAT(shown.out, HasSubstr("path        /new.txt\n"));
  EXPECT_THAT(shown.out, HasSubstr("user        " + id() + "\n"));
  EXPECT_THAT(shown.out,
              HasSubstr("SHA-256     "
                        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n"));
  EXPECT_THAT(ctl({"users", "show", id()}).out, HasSubstr("last uploads\n"));
}

TEST_F(Operator, FindsUploadsByEachFilter) {
  capsule.start();
  put("/a.txt", "1", {});
  put("/dir/b.txt", "2", settings);
  put("/c.txt", "3", {});
  EXPECT_THAT(paths({}), testing::ElementsAre("/c.txt", "/dir/b.txt", "/a.txt"));
  EXPECT_THAT(paths({"--limit", "1"}), testing::ElementsAre("/c.txt"));
  EXPECT_THAT(paths({"--path", "/dir"}), testing::ElementsAre("/dir/b.txt"));
  EXPECT_THAT(paths({"--user", id().substr(0, 12)}), testing::ElementsAre("/dir/b.txt"));
  EXPECT_THAT(paths({"--host", "localhost"}), testing::SizeIs(3));
  EXPECT_THAT(paths({"--host", "other.org"}), testing::IsEmpty());
  EXPECT_THAT(paths({"--since", "1h"}), testing::SizeIs(3));
  EXPECT_THAT(paths({"--since", "2026-01-31"}), testing::SizeIs(3));
  const auto tomorrow = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) +
                        std::chrono::hours(24);
  EXPECT_THAT(paths({"--since", timeText(tomorrow)}), testing::IsEmpty());
  EXPECT_EQ(ctl({"uploads", "--host", "other.org"}).out, "no uploads\n");
}

TEST_F(Operator, TellsWhatIsWrongWithALine) {
  capsule.start();
  const struct {
    std::vector<std::string> words;
    int code;
    const char* says;
  } lines[] = {{{"users", "--limit", "0"}, 64, "--limit 0 is not a number from 1 to 1000"},
               {{"users", "show"}, 64, "ID is missing"},
               {{"users", "show", "alice"}, 1, "\"alice\" is no user"},
               {{"users", "show", "0"}, 1, "no user 0"},
               {{"users", "forget", ""}, 1, "\"\" is no user"},
               {{"uploads", "--since", "yesterday"}, 64, "a time is wanted"},
               {{"uploads", "--since", "2026-02-30"}, 64, "a time is wanted"},
               {{"uploads", "--limit", "1001"}, 64, "--limit 1001"},
               {{"uploads", "--host", ""}, 64, "--host is empty"},
               {{"uploads", "--path", "a"}, 1, "it begins with /"},
               {{"uploads", "--user", "0"}, 1, "no user 0"},
               {{"uploads", "show", "first"}, 1, "\"first\""},
               {{"uploads", "show", "7"}, 1, "no upload 7"},
               {{"limits", "clear", "somebody"}, 1, "\"somebody\" is no address"},
               {{"limits", "clear", ""}, 1, "\"\" is no address"}};
  for (const auto& line : lines) {
    const Finished finished = ctl(line.words);
    EXPECT_EQ(finished.status.code, line.code) << line.says << finished.all();
    EXPECT_THAT(finished.err, HasSubstr(line.says));
    EXPECT_EQ(finished.out, "");
  }
}

TEST_F(Operator, AStuckDatabaseHoldsUpOnlyThoseWhoAskIt) {
  capsule.start();
  say("hello");
  DatabaseLock lock(capsule.dir() / "state/db/egalaxyd.db");
  std::vector<std::future<Finished>> stuck;
  const std::size_t mark = capsule.logMark();
  for (int i = 0; i < 4; ++i) {
    stuck.push_back(std::async(std::launch::async, [this] {
      return ctl({"users", "forget", id()});
    }));
  }
  const auto asked = [&] {
    const std::string log = capsule.log().substr(mark);
    std::size_t count = 0;
    for (std::size_t at = log.find("forget_user"); at != std::string::npos;
         at = log.find("forget_user", at + 1)) {
      ++count;
    }
    return count;
  };
  ASSERT_TRUE(eventually([&] { return asked() == 4; }));
  // Their patience with the database is short: no program is started within it.
  ControlClient fifth(capsule.controlSocket());
  fifth.send("{\"v\":1,\"command\":\"users\"}\n");
  const std::string refused = fifth.line();
  ControlClient status(capsule.controlSocket());
  for (int i = 0; i < 5; ++i) {
    status.send("{\"v\":1,\"command\":\"status\"}\n");
    EXPECT_THAT(status.line(), HasSubstr("\"state\":\"serving\""));
  }
  EXPECT_EQ(capsule.get("/").status, 20);
  const bool gaveUp = std::ranges::any_of(stuck, [](const auto& each) {
    return each.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  });
  lock.release();
  if (gaveUp) GTEST_SKIP() << "on this machine all that took longer than their patience";
  EXPECT_THAT(refused, HasSubstr("asked too much at once"));
  int done = 0;
  for (auto& each : stuck) done += each.get().status.code == 0 ? 1 : 0;
  EXPECT_EQ(done, 1) << "the first; then there is no one left to forget";
}

TEST_F(Operator, AnEndMeanwhileLeavesNoQueryBehind) {
  capsule.start();
  say("hello");
  DatabaseLock lock(capsule.dir() / "state/db/egalaxyd.db");
  auto stuck = std::async(std::launch::async, [this] { return ctl({"users", "forget", id()}); });
  ASSERT_TRUE(capsule.waitForLog("forget_user"));
  capsule.stop();
  EXPECT_NE(stuck.get().status.code, 0);
}

TEST_F(Operator, SaysThatThereIsNoDatabase) {
  capsule.dir().makeDir("state/db/egalaxyd.db");
  capsule.start();
  for (const auto& words :
       {std::vector<std::string>{"users"}, {"uploads"}, {"uploads", "show", "1"}}) {
    const Finished finished = ctl(words);
    EXPECT_EQ(finished.status.code, 1);
    EXPECT_THAT(finished.err, HasSubstr("egalaxyd.db: check that the file is there"));
  }
}

TEST_F(Operator, SaysThatThereIsNoServer) {
  for (const auto& words : {std::vector<std::string>{"users"},
                            {"uploads"},
                            {"limits"},
                            {"limits", "clear"},
                            {"users", "forget", "a"},
                            {"certificate", "list"}}) {
    const Finished finished = ctl(words);
    EXPECT_EQ(finished.status.code, 69);
    EXPECT_THAT(finished.err, HasSubstr("no server answers"));
  }
}

class OperatorOfLimits : public Operator {
 protected:
  OperatorOfLimits() {
    capsule.set("rate_limit.enabled", "true");
    capsule.set("rate_limit.requests", "1");
    capsule.set("rate_limit.per", "\"1h\"");
    capsule.set("rate_limit.penalty", "\"1h\"");
  }
  int statusFrom(const std::string& address) const {
    TlsSettings from;
    from.tcp.from = address;
    return capsule.get("/", from).status;
  }
};

TEST_F(OperatorOfLimits, NamesWhoMustWaitAndLetsThemAskAgain) {
  capsule.set("rate_limit.requests", "3");
  capsule.start();
  EXPECT_EQ(ctl({"limits"}).out, "no one is rate-limited\n");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(statusFrom("127.0.0.1"), 20);
  EXPECT_EQ(ctl({"limits"}).out, "no one is rate-limited\n") << "it only asked";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(statusFrom("127.0.0.1"), 44);
  const auto row = json({"limits"})->getArray("limits")->getObject(0);
  EXPECT_EQ(row->getValue<std::string>("address"), "127.0.0.1");
  EXPECT_EQ(row->getValue<int>("refused"), 3);
  EXPECT_THAT(row->getValue<int>("seconds"), testing::AllOf(testing::Gt(3500), testing::Le(3600)));
  EXPECT_THAT(ctl({"limits"}).out, testing::ContainsRegex("127.0.0.1  20.*Z  .*  3\n"));
  const std::size_t mark = capsule.logMark();
  const Finished cleared = ctl({"limits", "clear", "127.0.0.1"});
  EXPECT_EQ(cleared.status.code, 0) << cleared.all();
  EXPECT_TRUE(capsule.waitForLog("control: \"clear_limits\" from process", mark));
  EXPECT_EQ(statusFrom("127.0.0.1"), 20);
  EXPECT_EQ(ctl({"limits", "clear", "127.0.0.9"}).status.code, 1);
}

TEST_F(OperatorOfLimits, ClearsAllAtOnce) {
  capsule.start();
  for (const char* address : {"127.0.0.1", "127.0.0.2", "127.0.0.3"}) {
    EXPECT_EQ(statusFrom(address), 20);
    EXPECT_EQ(statusFrom(address), 44);
  }
  EXPECT_EQ(json({"limits"})->getValue<int>("total"), 3);
  EXPECT_EQ(ctl({"limits", "clear"}).out, "3 addresses may ask again\n");
  EXPECT_EQ(ctl({"limits"}).out, "no one is rate-limited\n");
  EXPECT_EQ(statusFrom("127.0.0.2"), 20);
}

TEST_F(Operator, SaysThatNothingIsLimited) {
  capsule.start();
  EXPECT_THAT(ctl({"limits"}).out, HasSubstr("rate_limit.enabled is false"));
  EXPECT_THAT(ctl({"limits", "clear"}).err, HasSubstr("rate_limit.enabled is false"));
}

/// As a process that is killed leaves it: no one listens.
void leaveSocket(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

class OperatorOfCertificates : public Operator {
 protected:
  OperatorOfCertificates() {
    capsule.sites(
        "[sites.\"localhost\"]\nroot = \"root\"\naliases = [\"localhost.localdomain\"]\n"
        "[sites.\"soon.example\"]\nroot = \"root\"\ncertificate = \"soon.crt\"\n"
        "key = \"soon.key\"\n");
    soon.writePem(capsule.dir() / "soon.crt", capsule.dir() / "soon.key");
  }
  const TestCertificate soon = makeTestCertificate({.commonName = "Soon", .toDays = 2});
};

TEST_F(OperatorOfCertificates, ListsThoseInUse) {
  capsule.start();
  const auto rows = json({"certificate", "list"})->getArray("certificates");
  ASSERT_EQ(rows->size(), 2u);
  const auto made = rows->getObject(1);
  EXPECT_EQ(made->getValue<std::string>("validity"), "valid");
  EXPECT_EQ(made->getArray("hosts")->size(), 2u);
  GeminiClient client(capsule.port());
  ASSERT_TRUE(client.handshake());
  EXPECT_EQ(made->getValue<std::string>("sha256"), client.serverFingerprint());
  const auto other = rows->getObject(0);
  EXPECT_EQ(other->getValue<std::string>("validity"), "expires soon");
  EXPECT_EQ(other->getValue<std::string>("sha256"), certificateFingerprint(soon.certificate.get()));
  const Finished text = ctl({"certificate", "list"});
  EXPECT_THAT(text.out, HasSubstr("soon.crt\n"));
  EXPECT_THAT(text.out, HasSubstr("  expires soon\n"));
}

TEST_F(OperatorOfCertificates, ListsThoseOfTheConfigurationWhereNoServerRuns) {
  if (!noServerOfTheSystemRuns()) GTEST_SKIP() << "a server runs here, or may";
  capsule.writeConfig();
  const std::map<std::string, std::string> nowhere{
      {"HOME", capsule.dir().path()}, {"XDG_RUNTIME_DIR", ""}, {"XDG_STATE_HOME", ""}};
  const auto list = [&] {
    return runProgram({programPath("egalaxyctl"), "certificate", "list"}, capsule.dir().path(),
                      nowhere);
  };
  const Finished listed = list();
  EXPECT_EQ(listed.status.code, 0) << listed.all();
  EXPECT_THAT(listed.err, HasSubstr("no server runs"));
  EXPECT_THAT(listed.out, HasSubstr("hosts       localhost localhost.localdomain\n"
                                    "from        automatic\nerror       "));
  EXPECT_LT(listed.out.find("soon.example"), listed.out.find("localhost"))
      << "in the server's order";
  EXPECT_THAT(listed.out, HasSubstr("soon.crt\nhosts       soon.example\n"));
  EXPECT_THAT(listed.out, HasSubstr(certificateFingerprint(soon.certificate.get())));
  EXPECT_THAT(listed.out, HasSubstr("  expires soon\n"));
  leaveSocket(capsule.dir().makeDir(".local/state/egalaxyd/run") / "control.sock");
  EXPECT_EQ(list().out, listed.out) << "the socket of a server that was killed";
  capsule.dir().write("egalaxyd.toml", "router.module = \"router.so\"\n");
  EXPECT_THAT(list().out, HasSubstr("_default.crt\nhosts       *\n")) << "a router's";
  capsule.dir().write("egalaxyd.toml", "[server]\nwrokers = 3\n");
  const Finished wrong = list();
  EXPECT_EQ(wrong.status.code, 65);
  EXPECT_THAT(wrong.err, HasSubstr("server.wrokers"));
}

}  // namespace
}  // namespace egalaxyd
