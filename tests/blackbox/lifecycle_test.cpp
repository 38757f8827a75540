// Deaths, reloads, ends: what clients notice of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/capsule.h"
#include "tests/support/load.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

class Lifecycle : public testing::Test {
 protected:
  void SetUp() override { capsule.page("index.gmi", "# One\n"); }

  /// A client that reads slowly and has read the first bytes of a large file.
  std::unique_ptr<GeminiClient> startDownload() {
    TlsSettings settings;
    settings.tcp.receiveBuffer = 16 * 1024;
    auto client = std::make_unique<GeminiClient>(capsule.port(), settings);
    EXPECT_TRUE(client->handshake()) << client->error();
    client->send(capsule.url("/large.bin") + "\r\n");
    begun_ = client->read(1000);
    EXPECT_EQ(begun_.substr(0, 3), "20 ");
    return client;
  }
  void expectDownloadFinishes(GeminiClient& client) {
    const Reply reply = client.readReply(begun_);
    EXPECT_EQ(reply.body.size(), kLarge) << reply;
    EXPECT_TRUE(reply.complete()) << reply;
  }

  /// Kills that worker and waits until another one took its place.
  void killAndAwaitAnother(pid_t victim) {
    ::kill(victim, SIGKILL);
    ASSERT_TRUE(eventually([&] {
      const std::vector<pid_t> now = capsule.workerPids();
      return now.size() == 2 && std::find(now.begin(), now.end(), victim) == now.end();
    })) << capsule.log();
  }

  static constexpr std::size_t kLarge = 20'000'000;
  Capsule capsule;

 private:
  std::string begun_;
};

TEST_F(Lifecycle, AKilledWorkerCostsOnlyTheRequestsInItsHands) {
  constexpr unsigned kClients = 4;
  capsule.start();
  const std::vector<pid_t> workers = capsule.workerPids();
  ASSERT_EQ(workers.size(), 2U);
  Load load(capsule.port(), capsule.url("/"), kClients);
  for (const pid_t worker : workers) {
    ASSERT_TRUE(load.waitForServed(20)) << load.failures();
    killAndAwaitAnother(worker);
  }
  ASSERT_TRUE(load.waitForServed(20)) << load.failures();
  load.stop();
  EXPECT_LE(load.failed(), kClients * workers.size()) << load.failures();
  EXPECT_TRUE(capsule.process().running());
  EXPECT_THAT(capsule.log(), testing::ContainsRegex("[Kk]illed|SIGKILL|signal 9"));
}

TEST_F(Lifecycle, WorkersThatDieQuicklyAreReplacedMoreAndMoreSlowly) {
  capsule.set("server.workers", "1");
  capsule.start();
  std::size_t deaths = 0;
  pid_t last = 0;
  const Deadline deadline(std::chrono::milliseconds(3000));
  const Deadline patience;
  while (!deadline.passed() || (deaths < 2 && !patience.passed())) {
    for (const pid_t worker : capsule.workerPids()) {
      if (worker != last) ++deaths;
      last = worker;
      ::kill(worker, SIGKILL);
    }
    ::poll(nullptr, 0, 5);
  }
  EXPECT_GE(deaths, 2U) << capsule.log();
  EXPECT_LE(deaths, 12U) << capsule.log();
  EXPECT_TRUE(eventually([&] { return !capsule.workerPids().empty(); })) << capsule.log();
  EXPECT_EQ(capsule.get("/").status, 20);
}

TEST_F(Lifecycle, AReloadFailsNoRequest) {
  capsule.dir().write("two/index.gmi", "# Two\n");
  capsule.start();
  const std::vector<pid_t> before = capsule.workerPids();
  Load load(capsule.port(), capsule.url("/"), 3);
  ASSERT_TRUE(load.waitForServed(20));
  for (const char* root : {"two", "root", "two"}) {
    capsule.sites(std::string("[sites.\"localhost\"]\nroot = \"") + root + "\"\n");
    capsule.writeConfig();
    capsule.reload();
    const std::string page = std::string(root) == "two" ? "# Two\n" : "# One\n";
    EXPECT_TRUE(eventually([&] { return capsule.get("/").body == page; })) << root;
    ASSERT_TRUE(load.waitForServed(20)) << load.failures();
  }
  load.stop();
  EXPECT_EQ(load.failed(), 0U) << load.failures();
  EXPECT_TRUE(eventually([&] { return capsule.workerPids().size() == 2; }));
  for (const pid_t worker : capsule.workerPids()) {
    EXPECT_EQ(std::find(before.begin(), before.end(), worker), before.end());
  }
}

TEST_F(Lifecycle, AReloadTakesNewSitesAndWorkerNumbers) {
  capsule.dir().write("other/index.gmi", "# Other\n");
  capsule.start();
  TlsSettings other;
  other.serverName = "other.test";
  EXPECT_EQ(fetch(capsule.port(), capsule.url("/", "other.test"), other).status, 53);
  capsule.sites(
      "[sites.\"localhost\"]\nroot = \"root\"\n[sites.\"other.test\"]\nroot = \"other\"\n");
  capsule.set("server.workers", "3");
  capsule.writeConfig();
  capsule.reload();
  EXPECT_TRUE(eventually([&] {
    return fetch(capsule.port(), capsule.url("/", "other.test"), other).body == "# Other\n";
  }));
  EXPECT_EQ(capsule.get("/").body, "# One\n");
  EXPECT_TRUE(eventually([&] { return capsule.workerPids().size() == 3; }));
}

TEST_F(Lifecycle, ABadConfigurationLeavesTheOldOneServing) {
  capsule.start();
  const std::vector<pid_t> workers = capsule.workerPids();
  for (const char* bad : {"limits.request_timeout = \"soon\"\n", "[server\n",
                          "[sites.\"localhost\"]\nroot = \"root\"\ncertificate = \"nowhere\"\n"}) {
    capsule.dir().write("egalaxyd.toml", bad);
    const std::size_t mark = capsule.logMark();
    capsule.process().signal(SIGHUP);
    ASSERT_TRUE(capsule.waitForLog("egalaxyd.toml:", mark)) << capsule.log();
    EXPECT_EQ(capsule.get("/").body, "# One\n");
    EXPECT_EQ(capsule.workerPids(), workers);
  }
}

TEST_F(Lifecycle, AReloadLetsDownloadsFinish) {
  capsule.page("large.bin", std::string(kLarge, 'x'));
  capsule.start();
  const std::vector<pid_t> before = capsule.workerPids();
  const auto client = startDownload();
  capsule.reload();
  EXPECT_EQ(capsule.get("/").status, 20);
  expectDownloadFinishes(*client);
  EXPECT_TRUE(eventually([&] {
    const std::vector<pid_t> now = capsule.workerPids();
    return now.size() == 2 && now != before;
  })) << capsule.log();
}

TEST_F(Lifecycle, SigtermLetsDownloadsFinish) {
  capsule.page("large.bin", std::string(kLarge, 'x'));
  capsule.start();
  const auto client = startDownload();
  const std::size_t mark = capsule.logMark();
  capsule.process().signal(SIGTERM);
  ASSERT_TRUE(eventually([&] { return capsule.logMark() > mark; })) << capsule.log();
  expectDownloadFinishes(*client);
  EXPECT_EQ(capsule.stop().code, 0);
}

TEST_F(Lifecycle, SigintEndsAsSigtermDoes) {
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  capsule.process().signal(SIGINT);
  const auto status = capsule.process().wait();
  ASSERT_TRUE(status) << capsule.log();
  EXPECT_EQ(status->code, 0);
}

TEST_F(Lifecycle, ASecondSigtermEndsAtOnce) {
  capsule.set("server.drain_timeout", "\"10m\"");
  capsule.set("limits.write_timeout", "\"10m\"");
  capsule.page("large.bin", std::string(kLarge, 'x'));
  capsule.start();
  const auto client = startDownload();
  const std::size_t mark = capsule.logMark();
  capsule.process().signal(SIGTERM);
  ASSERT_TRUE(eventually([&] { return capsule.logMark() > mark; })) << capsule.log();
  EXPECT_TRUE(capsule.process().running());
  EXPECT_TRUE(eventually([&] {  // what comes on the heels of the first is taken for the same
    capsule.process().signal(SIGTERM);
    return !capsule.process().running();
  })) << capsule.log();
  EXPECT_TRUE(eventually([&] { return !capsule.process().groupLives(); }));
  capsule.abandon();
}

TEST_F(Lifecycle, DrainingHasALimit) {
  capsule.set("server.drain_timeout", "\"1s\"");
  capsule.set("limits.write_timeout", "\"10m\"");
  capsule.page("large.bin", std::string(kLarge, 'x'));
  capsule.start();
  const auto client = startDownload();
  EXPECT_EQ(capsule.stop().code, 0);
}

TEST_F(Lifecycle, DrainingWaitsForSilentClientsNoLongerThanTheirDeadlines) {
  capsule.set("limits.request_timeout", "\"3s\"");
  capsule.set("limits.handshake_timeout", "\"3s\"");
  capsule.set("server.drain_timeout", "\"10m\"");
  capsule.start();
  GeminiClient idle(capsule.port());
  ASSERT_TRUE(idle.handshake());
  TcpClient silent(capsule.port());
  EXPECT_EQ(capsule.stop().code, 0);
}

TEST_F(Lifecycle, Sigusr1WritesToANewLogFile) {
  capsule.set("log.target", "\"egalaxyd.log\"");
  capsule.start();
  EXPECT_EQ(capsule.get("/before").status, 51);
  const std::filesystem::path file = capsule.dir() / "egalaxyd.log";
  ASSERT_TRUE(eventually([&] { return readAll(file).find("/before") != std::string::npos; }));
  std::filesystem::rename(file, capsule.dir() / "egalaxyd.log.1");
  capsule.process().signal(SIGUSR1);
  EXPECT_TRUE(eventually([&] {
    capsule.get("/after");
    return readAll(file).find("/after") != std::string::npos;
  })) << readAll(capsule.dir() / "egalaxyd.log.1");
}

TEST_F(Lifecycle, ReloadAndRotationEndNoServerThatIsStarting) {
  std::string sites;
  for (int i = 0; i < 200; ++i) {  // whose certificates take a moment
    sites += "[sites.\"h" + std::to_string(i) + ".test\"]\nroot = \"root\"\n";
  }
  capsule.sites(sites);
  capsule.writeConfig();
  const auto err = capsule.dir() / "err";
  ChildProcess server({{programPath("egalaxyd"), "--config", capsule.configFile()},
                       capsule.dir().path(),
                       capsule.dir() / "out",
                       err,
                       {}});
  ASSERT_TRUE(
      eventually([&] { return std::filesystem::exists(capsule.dir() / "state/certificates"); }));
  server.signal(SIGHUP);
  server.signal(SIGUSR1);
  EXPECT_TRUE(eventually([&] {
    return readAll(err).find("ready: generation") != std::string::npos;
  })) << readAll(err);
  server.signal(SIGTERM);
  const auto status = server.wait();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 0) << readAll(err);
}

TEST_F(Lifecycle, WorkersLeaveWhenTheMasterWasKilled) {
  capsule.start();
  EXPECT_EQ(capsule.workerPids().size(), 2U);
  capsule.process().signal(SIGKILL);
  ASSERT_TRUE(capsule.process().wait());
  EXPECT_TRUE(eventually([&] { return !capsule.process().groupLives(); })) << capsule.log();
  capsule.abandon();
}

TEST_F(Lifecycle, AServerStartsAgainAfterItsMasterWasKilled) {
  capsule.start();
  const std::string first = capsule.get("/").body;
  capsule.process().signal(SIGKILL);
  ASSERT_TRUE(capsule.process().wait());
  ASSERT_TRUE(eventually([&] { return !capsule.process().groupLives(); }));
  capsule.start();
  EXPECT_EQ(capsule.get("/").body, first);
}

TEST_F(Lifecycle, ADaemonLeavesItsPidBehind) {
  const std::filesystem::path pidFile = capsule.dir() / "pid";
  capsule.set("log.target", "\"egalaxyd.log\"");
  capsule.writeConfig();
  const Finished started =
      runProgram({programPath("egalaxyd"), "--config", capsule.configFile().string(), "--daemon",
                  "--pidfile", pidFile.string()},
                 capsule.dir().path());
  EXPECT_EQ(started.status.code, 0) << started.all();
  ASSERT_TRUE(eventually([&] { return !readAll(pidFile).empty(); })) << started.all();
  const pid_t daemon = std::stoi(readAll(pidFile));
  EXPECT_EQ(::kill(daemon, 0), 0);
  EXPECT_NE(::getpgid(daemon), ::getpgrp());
  EXPECT_TRUE(capsule.waitForLog("ready")) << capsule.log();
  ::kill(daemon, SIGTERM);
  int status = 0;
  EXPECT_TRUE(eventually([&] { return ::waitpid(daemon, &status, WNOHANG) != 0; }))
      << capsule.log();
  EXPECT_FALSE(std::filesystem::exists(pidFile));
}

}  // namespace
}  // namespace egalaxyd
