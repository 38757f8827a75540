// The installed server with plug-ins: the example, built against the installed package, and classes
// that misbehave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/capsule.h"
#include "tests/support/control_client.h"
#include "tests/support/spartan_client.h"

namespace egalaxyd {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

const std::string kExample = EGALAXYD_EXAMPLE_PLUGIN;

std::string mount(const std::string& path, const std::string& library,
                  const std::string& className) {
  return "[sites.\"localhost\".\"" + path + "\"]\nmodule = \"plugin\"\nlibrary = \"" + library +
         "\"\nclass = \"" + className + "\"\n";
}

std::string testPlugin(const std::string& name) {
  return std::string(EGALAXYD_TEST_PLUGIN_DIR) + "/" + name + ".so";
}

class GuestbookExample : public testing::Test {
 protected:
  GuestbookExample() {
    capsule.sites(mount("/book", kExample, "guestbook::Guestbook") + "args = { show = \"500\" }\n");
  }

  Reply sign(const std::string& line, const TestCertificate& certificate) const {
    TlsSettings settings;
    settings.certificate = &certificate;
    return capsule.get("/book?" + line, settings);
  }

  Capsule capsule;
};

TEST_F(GuestbookExample, LosesNoEntryOfManyWriters) {
  constexpr std::size_t kWriters = 64;
  capsule.start();
  // Some are the same person at several windows.
  std::vector<TestCertificate> people;
  for (int i = 0; i < 8; ++i) people.push_back(makeTestCertificate());
  std::promise<void> go;
  const std::shared_future<void> gone = go.get_future().share();
  std::vector<std::future<Reply>> writers;
  for (std::size_t i = 0; i < kWriters; ++i) {
    writers.push_back(std::async(std::launch::async, [&, i] {
      gone.wait();
      return sign("entry%20" + std::to_string(100 + i), people[i % people.size()]);
    }));
  }
  go.set_value();
  for (auto& writer : writers) {
    const Reply reply = writer.get();
    EXPECT_EQ(reply.header, "30 /book") << reply;
  }
  const Reply page = capsule.get("/book");
  for (std::size_t i = 0; i < kWriters; ++i) {
    EXPECT_THAT(page.body, HasSubstr("> entry " + std::to_string(100 + i) + "\n"));
  }
}

TEST_F(GuestbookExample, AsksForWhatItNeeds) {
  capsule.start();
  const TestCertificate alice = makeTestCertificate();
  EXPECT_EQ(capsule.get("/book?hello").status, 60);
  EXPECT_EQ(sign("", alice).status, 10);
  EXPECT_EQ(sign("%20%0A", alice).status, 10);
  EXPECT_EQ(sign("%FF", alice).status, 59);
  EXPECT_EQ(capsule.get("/book/elsewhere").status, 51);
  const Reply page = capsule.get("/book");
  EXPECT_EQ(page.meta, "text/gemini") << page;
  EXPECT_THAT(page.body, HasSubstr("Nobody has been here yet"));
}

TEST_F(GuestbookExample, SeesADataBlockOfSpartanAsItsQuery) {
  capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
  capsule.start();
  const SpartanReply page = askSpartan(capsule.spartanPort(), "localhost /book 0\r\n");
  EXPECT_EQ(page.header, "2 text/gemini") << page;
  EXPECT_THAT(page.body, HasSubstr("Nobody has been here yet"));
  const SpartanReply signing = askSpartan(capsule.spartanPort(), "localhost /book 5\r\nhello");
  EXPECT_EQ(signing.header, "4 This page is for certificates: come over Gemini") << signing;
}

TEST_F(GuestbookExample, ListsTheNewestFirstAndMakesNoLinkOfALine) {
  capsule.start();
  const TestCertificate alice = makeTestCertificate();
  ASSERT_EQ(sign("older", alice).status, 30);
  ASSERT_EQ(sign("newer%0A=%3E%20gemini://evil.example/", alice).status, 30);
  const std::string page = capsule.get("/book").body;
  EXPECT_THAT(page, HasSubstr("\n> newer => gemini://evil.example/\n"));
  EXPECT_LT(page.find("newer"), page.find("older")) << page;
}

TEST_F(GuestbookExample, KeepsItsEntriesWhenWorkersDieAndReload) {
  capsule.start();
  const TestCertificate alice = makeTestCertificate();
  ASSERT_EQ(sign("still%20here", alice).status, 30);
  capsule.killWorker(0);
  capsule.reload();
  EXPECT_THAT(capsule.get("/book").body, HasSubstr("> still here\n"));
}

TEST(RateLimiterExample, MakesAClientWaitOnceItsBucketIsEmpty) {
  Capsule capsule;
  capsule.page("index.gmi", "# Welcome\n");
  capsule.set("server.workers", "1");
  capsule.set("rate_limit.enabled", "true");
  capsule.set("rate_limit.module", "\"" + kExample + "\"");
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  Reply reply;
  EXPECT_TRUE(eventually([&] {
    reply = capsule.get("/");
    return reply.status == 44;
  }));
  EXPECT_THAT(reply.meta, AnyOf("1", "2")) << reply;
}

TEST(RateLimiterExample, HasNoSayWhereRateLimitsAreOff) {
  Capsule capsule;
  capsule.page("index.gmi", "# Welcome\n");
  capsule.set("rate_limit.enabled", "false");
  capsule.set("rate_limit.module", "\"" + kExample + "\"");
  capsule.start();
  ControlClient control(capsule.controlSocket());
  control.send("{\"v\":1,\"command\":\"limits\"}\n");
  EXPECT_THAT(control.line(), HasSubstr("rate_limit.enabled is false"));
}

class PluginFaults : public testing::Test {
 protected:
  PluginFaults() {
    capsule.sites(mount("/", testPlugin("good"), "Greeter") +
                  mount("/clumsy", testPlugin("good"), "Clumsy"));
  }

  Capsule capsule;
};

TEST_F(PluginFaults, ADroppedAnswerIs42AndALineInTheLog) {
  capsule.start();
  EXPECT_EQ(capsule.get("/clumsy/drop").status, 42);
  EXPECT_TRUE(capsule.waitForLog("gave no answer")) << capsule.log();
}

TEST_F(PluginFaults, AnExceptionIs42AndALineInTheLog) {
  capsule.start();
  EXPECT_EQ(capsule.get("/clumsy/throw?secret").status, 42);
  EXPECT_EQ(capsule.get("/clumsy/throw-int").status, 42);
  EXPECT_TRUE(capsule.waitForLog("class Clumsy: stumbled")) << capsule.log();
  EXPECT_THAT(capsule.log(), Not(HasSubstr("secret")));
  EXPECT_EQ(capsule.get("/").body, "Hello");
}

TEST_F(PluginFaults, ABodyThatThrowsEndsWithoutCloseNotify) {
  capsule.start();
  const Reply reply = capsule.get("/clumsy/body");
  EXPECT_EQ(reply.body, "begun");
  EXPECT_FALSE(reply.closeNotify) << reply;
}

TEST_F(PluginFaults, ABodyThatBreaksItsPromisesFailsOnlyItsOwnRequest) {
  capsule.start();
  const std::vector<pid_t> before = capsule.workerPids();
  for (const char* path :
       {"/body/too-much", "/body/more-of-nothing", "/body/later-with-bytes", "/body/no-state"}) {
    const Reply reply = capsule.get(std::string("/clumsy") + path);
    EXPECT_EQ(reply.body, "") << path;
    EXPECT_FALSE(reply.closeNotify) << path;
  }
  EXPECT_TRUE(capsule.waitForLog("gave 200000 bytes where ")) << capsule.log();
  EXPECT_EQ(capsule.get("/clumsy/body/shifted").body, "abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(capsule.get("/clumsy/body/hasty").body, "soon");
  EXPECT_EQ(capsule.get("/").body, "Hello");
  EXPECT_EQ(capsule.workerPids(), before);
}

TEST_F(PluginFaults, AnAnswerThatIsNoneBecomesOne) {
  capsule.start();
  const std::vector<pid_t> before = capsule.workerPids();
  EXPECT_EQ(capsule.get("/clumsy/no-status").status, 42);
  const Reply longMeta = capsule.get("/clumsy/long-meta");
  EXPECT_EQ(longMeta.header, "51 " + std::string(1024, 'm'));
  EXPECT_EQ(longMeta.body, "");
  EXPECT_EQ(capsule.get("/clumsy/split-meta").header, "20 application/octet-stream");
  EXPECT_EQ(capsule.get("/clumsy/no-body").header, "20 text/plain");
  EXPECT_EQ(capsule.get("/clumsy/answer-twice").body, "once");
  EXPECT_EQ(capsule.get("/clumsy/other-thread").body, "from elsewhere");
  for (const char* path : {"/drop-elsewhere", "/throw-later", "/throw-in-the-pool"}) {
    EXPECT_EQ(capsule.get(std::string("/clumsy") + path).status, 42) << path;
  }
  EXPECT_EQ(capsule.workerPids(), before);
}

TEST_F(PluginFaults, ABodyIsReadWithoutALevelOfTheStackForEachChunk) {
  capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
  capsule.start();
  const std::string bytes(8 * 1024 * 1024, 'x');
  const auto upload = [&](const std::string& path) {
    return askSpartan(capsule.spartanPort(),
                      "localhost " + path + " " + std::to_string(bytes.size()) + "\r\n" + bytes);
  };
  EXPECT_EQ(upload("/clumsy/read").body, "8388608 bytes, depth 1");
  EXPECT_EQ(upload("/clumsy/read-and-throw").header.substr(0, 2), "5 ");
  EXPECT_EQ(upload("/clumsy/read-forever").header.substr(0, 2), "5 ");
  EXPECT_EQ(capsule.get("/").body, "Hello");
}

TEST_F(PluginFaults, ACrashEndsOneWorkerAndTheMasterReplacesIt) {
  capsule.start();
  const std::vector<pid_t> before = capsule.workerPids();
  ASSERT_EQ(before.size(), 2u);
  EXPECT_EQ(capsule.get("/clumsy/abort").status, 0);
  EXPECT_TRUE(eventually([&] {
    const std::vector<pid_t> now = capsule.workerPids();
    return now.size() == 2 && now != before;
  })) << capsule.log();
  const std::vector<pid_t> after = capsule.workerPids();
  EXPECT_EQ(std::count_if(before.begin(), before.end(),
                          [&](pid_t pid) {
                            return std::find(after.begin(), after.end(), pid) != after.end();
                          }),
            1);
  EXPECT_EQ(capsule.get("/").body, "Hello");
}

TEST_F(PluginFaults, ABadPluginFailsTheReloadAndTheOldGenerationStays) {
  capsule.start();
  capsule.sites(mount("/", testPlugin("good"), "Unborn"));
  capsule.writeConfig();
  const std::size_t mark = capsule.logMark();
  capsule.process().signal(SIGHUP);
  EXPECT_TRUE(capsule.waitForLog("class Unborn: not today", mark)) << capsule.log();
  EXPECT_EQ(capsule.get("/").body, "Hello");
}

/// As a dead mount or a name server does.
TEST_F(PluginFaults, AReloadThatTakesLongHoldsNothingUp) {
  capsule.start();
  const auto go = (capsule.dir() / "go").string();
  capsule.sites(mount("/", testPlugin("good"), "Patient") + "args = { for = \"" + go + "\" }\n");
  capsule.writeConfig();
  capsule.process().signal(SIGHUP);
  ASSERT_TRUE(capsule.waitForLog("SIGHUP: reload"));
  EXPECT_EQ(capsule.get("/").body, "Hello");
  const std::size_t mark = capsule.logMark();
  capsule.process().signal(SIGHUP);  // a wish for later
  capsule.process().signal(SIGUSR1);
  EXPECT_TRUE(capsule.waitForLog("SIGUSR1", mark)) << capsule.log();
  EXPECT_FALSE(capsule.logContains("generation 2", mark)) << capsule.log();
  capsule.dir().write("go", "");
  EXPECT_TRUE(capsule.waitForLog("ready: generation 2", mark)) << capsule.log();
  EXPECT_TRUE(capsule.waitForLog("ready: generation 3", mark)) << capsule.log();
  EXPECT_TRUE(eventually([&] { return capsule.get("/").body == "at last"; }));
}

TEST_F(PluginFaults, AReloadThatTakesLongHoldsNoRespawnAndNoStopUp) {
  capsule.start();
  capsule.sites(mount("/", testPlugin("good"), "Patient") + "args = { for = \"/no/such\" }\n");
  capsule.writeConfig();
  const std::vector<pid_t> workers = capsule.workerPids();
  capsule.process().signal(SIGHUP);
  ASSERT_TRUE(capsule.waitForLog("SIGHUP: reload"));
  const std::size_t mark = capsule.logMark();
  ::kill(workers.at(0), SIGKILL);
  EXPECT_TRUE(capsule.waitForLog("replaced", mark)) << capsule.log();
  EXPECT_EQ(capsule.get("/").body, "Hello");
  capsule.process().signal(SIGTERM);
  ASSERT_TRUE(capsule.process().wait());
}

TEST_F(PluginFaults, TheCheckNamesEveryBadPlugin) {
  capsule.sites(mount("/a", testPlugin("other_abi"), "A") +
                mount("/b", testPlugin("missing_symbol"), "B") +
                mount("/c", capsule.dir() / "none.so", "C"));
  capsule.set("router.module", "\"" + testPlugin("wrong_base") + "\"");
  capsule.writeConfig();
  const Finished check = runProgram(
      {programPath("egalaxyd"), "--check", "--config", capsule.configFile()}, capsule.dir().path());
  EXPECT_EQ(check.status.code, 78);
  for (const char* complaint : {"other_abi.so: built for plug-in ABI", "nowhereDefined",
                                "none.so: No such file", "wrong_base.so"}) {
    EXPECT_THAT(check.all(), HasSubstr(complaint));
  }
}

TEST_F(PluginFaults, ARouterWithoutSitesHasACertificateOfItsOwn) {
  capsule.set("router.module", "\"" + testPlugin("good") + ":OwnRouter\"");
  capsule.sites("");
  capsule.start();
  const std::vector<pid_t> workers = capsule.workerPids();
  TlsSettings settings;
  settings.serverName = std::nullopt;
  EXPECT_EQ(fetch(capsule.port(), capsule.url("/any", "plain"), settings).body, "Hello");
  EXPECT_EQ(fetch(capsule.port(), capsule.url("/", "elsewhere"), settings).status, 53);
  EXPECT_EQ(capsule.workerPids(), workers);
}

TEST_F(PluginFaults, ARouterOfItsOwnReplacesTheSiteMap) {
  capsule.set("router.module", "\"" + testPlugin("good") + ":OwnRouter\"");
  capsule.start();
  const auto ask = [&](const std::string& host, const std::string& path) {
    TlsSettings settings;
    settings.serverName = std::nullopt;
    return fetch(capsule.port(), capsule.url(path, host), settings);
  };
  EXPECT_EQ(ask("plain", "/any").body, "Hello");
  EXPECT_EQ(ask("clumsy", "/throw").status, 42);
  EXPECT_EQ(ask("broken", "/").status, 42);
  EXPECT_EQ(ask("localhost", "/").status, 53);
}

}  // namespace
}  // namespace egalaxyd
