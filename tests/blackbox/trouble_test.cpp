// What the machine puts in the way of a start, a reload or a rotation: told in words, with the exit
// code that says whether trying again may help; and nothing makes the master wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

constexpr int kUnavailable = 69;
constexpr int kCannotCreate = 73;
constexpr int kConfiguration = 78;

class Start : public testing::Test {
 protected:
  Start() { capsule.abandon(); }

  /// Of a start that must fail.
  Finished start() const {
    capsule.writeConfig();
    return runProgram({programPath("egalaxyd"), "--config", capsule.configFile()},
                      capsule.dir().path());
  }

  Capsule capsule;
};

TEST_F(Start, WhatMayPassByItselfIsTriedAgain) {
  const std::string root = "[sites.\"localhost\"]\nroot = \"";
  capsule.sites(root + "root\"\ncertificate = \"later.crt\"\nkey = \"later.key\"\n");
  const Finished certificate = start();
  EXPECT_EQ(certificate.status.code, kUnavailable) << certificate.all();

  capsule.sites(root + "root\"\n");
  capsule.set("listen.gemini", "[\"192.0.2.1:0\"]");
  const Finished address = start();
  EXPECT_EQ(address.status.code, kUnavailable) << address.all();
  EXPECT_THAT(address.err, HasSubstr("192.0.2.1"));

  capsule.set("listen.gemini", "[\"no-such-host.invalid:0\"]");
  const Finished name = start();
  EXPECT_EQ(name.status.code, kUnavailable) << name.all();
  EXPECT_THAT(name.err, HasSubstr("no-such-host.invalid:0: the name cannot be resolved"));

  capsule.set("listen.gemini", "[\"127.0.0.1:0\"]");
  capsule.set("log.target", "\"no/folder/log\"");
  EXPECT_EQ(start().status.code, kUnavailable);
  if (::geteuid() != 0) return;
  capsule.set("log.target", "\"stderr\"");
  capsule.set("server.user", "\"comes-with-ldap\"");
  EXPECT_EQ(start().status.code, kUnavailable);
}

TEST_F(Start, WhatOnlyAnEditMendsIsFinal) {
  capsule.sites("[sites.\"localhost\"]\nroot = \"mounted-later\"\n");
  capsule.set("limits.connections", "\"many\"");
  const Finished both = start();
  EXPECT_EQ(both.status.code, kConfiguration) << both.all();
  EXPECT_THAT(both.err, HasSubstr("mounted-later"));

  capsule.set("limits.connections", "10");
  capsule.sites("");
  const Finished empty = start();
  EXPECT_EQ(empty.status.code, kConfiguration) << empty.all();
  EXPECT_THAT(empty.err, HasSubstr("[sites.\"HOST\"]"));

  capsule.sites("[sites.\"localhost\"]\nroot = \"root\"\n");
  capsule.set("server.state_dir", "\"egalaxyd.toml\"");
  const Finished state = start();
  EXPECT_EQ(state.status.code, kCannotCreate) << state.all();
  EXPECT_THAT(state.err, HasSubstr("egalaxyd.toml is no folder"));
}

TEST_F(Start, SaysWhichLimitOnOpenFilesIsTooLow) {
  capsule.writeConfig();
  const auto err = capsule.dir() / "err";
  ChildProcess server({{"/bin/sh", "-c", "ulimit -n 512; exec \"$0\" --config \"$1\"",
                        programPath("egalaxyd"), capsule.configFile()},
                       capsule.dir().path(),
                       capsule.dir() / "out",
                       err,
                       {}});
  EXPECT_TRUE(eventually([&] { return readAll(err).find("ready") != std::string::npos; }));
  EXPECT_THAT(readAll(err), HasSubstr("limits.connections is 20000, but 2 workers with 512 open "
                                      "files each can hold 768: raise the limit on open files to "
                                      "12765 (LimitNOFILE="));
  server.signal(SIGTERM);
  EXPECT_TRUE(server.wait());
}

class Running : public testing::Test {
 protected:
  void SetUp() override { capsule.page("index.gmi", "# One\n"); }

  std::string fifo(const std::string& name) const {
    const auto path = capsule.dir() / name;
    std::filesystem::remove(path);
    EXPECT_EQ(::mkfifo(path.c_str(), 0666), 0);
    return path.string();
  }
  void expectServes() const {
    EXPECT_EQ(capsule.ctl({"status"}).status.code, 0) << capsule.log();
    EXPECT_EQ(capsule.get("/").body, "# One\n");
  }
  std::size_t linesIn(const std::string& name, const std::string& text) const {
    const std::string all = readAll(capsule.dir() / name);
    std::size_t count = 0;
    for (auto at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) ++count;
    return count;
  }

  Capsule capsule;
};

TEST_F(Running, AReloadWaitsForNoFifo) {
  capsule.start();
  const std::string good = capsule.configText();
  const std::string pipe = fifo("pipe");
  const std::string other = "[sites.\"other.test\"]\nroot = \"root\"\n";
  const std::vector<std::string> bads{
      "tls.certificate = \"pipe\"\ntls.key = \"pipe\"\n" + good,
      good + other + "certificate = \"pipe\"\nkey = \"pipe\"\n",
      good +
          "[sites.\"other.test\".\"/\"]\nmodule = \"plugin\"\nlibrary = \"pipe\"\nclass = \"C\"\n",
      good + "[sites.\"other.test\".\"/\"]\nmodule = \"authenticated\"\nca = \"pipe\"\n" +
          "sites.\"/\".module = \"spy\"\n",
      "router.module = \"pipe\"\n" + good,
      "rate_limit.module = \"pipe\"\n" + good,
      "log.target = \"pipe\"\n" + good};
  for (const std::string& bad : bads) {
    capsule.dir().write("egalaxyd.toml", bad);
    const Finished reload = capsule.ctl({"reload"});
    EXPECT_EQ(reload.status.code, 1) << bad;
    EXPECT_THAT(reload.err, HasSubstr("pipe")) << bad;
    expectServes();
  }
  const std::vector<std::string> away{
      good + "[sites.\"other.test\"]\nroot = \"pipe\"\n",
      good + "[sites.\"other.test\".\"/\"]\nmodule = \"file\"\npath = \"pipe\"\n"};
  for (const std::string& each : away) {
    capsule.dir().write("egalaxyd.toml", each);
    const std::size_t mark = capsule.logMark();
    const Finished reload = capsule.ctl({"reload"});
    EXPECT_EQ(reload.status.code, 0) << reload.all();
    EXPECT_TRUE(capsule.waitForLog("pipe: it is no ", mark)) << capsule.log();
    expectServes();
  }
  fifo("egalaxyd.toml");
  const Finished reload = capsule.ctl({"reload"});
  EXPECT_EQ(reload.status.code, 1) << reload.all();
  EXPECT_THAT(reload.err, HasSubstr("egalaxyd.toml: is a FIFO"));
  expectServes();
}

TEST_F(Running, AFileThatIsCutShortReplacesNothing) {
  capsule.start();
  const std::string good = capsule.configText();
  for (const std::string& cut : {good.substr(0, good.find("[sites")), std::string(),
                                 std::string("[listen]\ngemini = [\"127.0.0.1:0\"]\n")}) {
    capsule.dir().write("egalaxyd.toml", cut);
    const Finished reload = capsule.ctl({"reload"});
    EXPECT_EQ(reload.status.code, 1) << cut;
    EXPECT_THAT(reload.err, HasSubstr("[sites.\"HOST\"]")) << cut;
    expectServes();
  }
}

TEST_F(Running, ANameThatDoesNotResolveReplacesNothing) {
  capsule.start();
  capsule.dir().write("egalaxyd.toml",
                      "listen.titan = [\"no-such-host.invalid:0\"]\n" + capsule.configText());
  const Finished reload = capsule.ctl({"reload"});
  EXPECT_EQ(reload.status.code, 1) << reload.all();
  EXPECT_THAT(reload.err, HasSubstr("no-such-host.invalid:0: the name cannot be resolved"));
  expectServes();
}

TEST_F(Running, ARotationWaitsForNoFifo) {
  capsule.set("log.target", "\"egalaxyd.log\"");
  capsule.start();
  std::filesystem::rename(capsule.dir() / "egalaxyd.log", capsule.dir() / "old.log");
  fifo("egalaxyd.log");
  capsule.process().signal(SIGUSR1);
  ASSERT_TRUE(eventually([&] { return linesIn("old.log", "the old log stays in use") == 1; }));
  expectServes();
  std::filesystem::remove(capsule.dir() / "egalaxyd.log");
  capsule.process().signal(SIGUSR1);
  EXPECT_TRUE(capsule.waitForLog("logs were reopened"));
  expectServes();
}

/// The account of the workers need not be able to open the file: the master does, and hands it
/// over.
TEST_F(Running, AfterARotationWorkersOfAnyAccountWriteIntoTheNewFile) {
  capsule.set("log.target", "\"logs/egalaxyd.log\"");
  capsule.dir().makeDir("logs");
  const passwd* nobody = ::geteuid() == 0 ? ::getpwnam("nobody") : nullptr;
  if (nobody != nullptr) {
    capsule.set("server.user", "\"nobody\"");
    ASSERT_EQ(::chmod((capsule.dir() / "logs").c_str(), 0700), 0);
  }
  capsule.writeConfig();
  // The capsule looks for the log elsewhere.
  std::filesystem::create_symlink("logs/egalaxyd.log", capsule.dir() / "seen");
  ProcessSetup setup{{programPath("egalaxyd"), "--config", capsule.configFile()},
                     capsule.dir().path(),
                     capsule.dir() / "out",
                     capsule.dir() / "err",
                     {}};
  ChildProcess server(setup);
  const auto out = [&] { return readAll(capsule.dir() / "out"); };
  ASSERT_TRUE(eventually([&] { return out().find(":/") != std::string::npos; }))
      << readAll(capsule.dir() / "seen");
  const std::string url = out().substr(out().find("gemini://"));
  const auto port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  const auto ask = [&](const std::string& path) {
    fetch(port, "gemini://localhost:" + std::to_string(port) + path);
  };
  const auto file = capsule.dir() / "logs/egalaxyd.log";
  for (int turn = 0; turn < 2; ++turn) {
    const std::string number = std::to_string(turn);
    std::filesystem::rename(file, capsule.dir() / ("logs/old" + number));
    server.signal(SIGUSR1);
    ASSERT_TRUE(eventually([&] { return linesIn("seen", "logs were reopened") == 1; }));
    // Of two workers either may answer, each a moment behind the master: then both write into the
    // new file.
    int tries = 0;
    EXPECT_TRUE(eventually([&] {
      const std::string path = "/new-" + number + "-" + std::to_string(++tries) + "/";
      for (int i = 0; i < 20; ++i) ask(path);
      EXPECT_TRUE(eventually([&] {
        return linesIn("seen", path) + linesIn("logs/old" + number, path) == 20;
      })) << readAll(file);
      return linesIn("seen", path) == 20;
    })) << readAll(file);
  }
  server.signal(SIGTERM);
  ASSERT_TRUE(server.wait());
}

#ifndef EGALAXYD_SANITIZED  // they need memory without end

/// Lets each worker have no more memory than it has now, while it lives.
class MemoryLimit {
 public:
  explicit MemoryLimit(std::vector<pid_t> workers) : workers_(std::move(workers)) {
    for (const pid_t worker : workers_) {
      std::istringstream pages(readAll("/proc/" + std::to_string(worker) + "/statm"));
      rlim_t size = 0;
      pages >> size;
      set(worker, size * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)));
    }
  }
  ~MemoryLimit() {
    for (const pid_t worker : workers_) set(worker, RLIM_INFINITY);
  }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  static void set(pid_t worker, rlim_t bytes) {
    const rlimit limit{bytes, RLIM_INFINITY};
    EXPECT_EQ(::prlimit(worker, RLIMIT_AS, &limit, nullptr), 0);
  }

  const std::vector<pid_t> workers_;
};

TEST_F(Running, WithoutMemoryAWorkerGivesUpConnectionsAndLives) {
  ::setenv("MALLOC_ARENA_MAX", "1", 1);  // other arenas have address space in reserve
  capsule.start();
  ::unsetenv("MALLOC_ARENA_MAX");
  expectServes();
  const std::vector<pid_t> workers = capsule.workerPids();
  const auto ranOut = [&] {
    return capsule.logContains("exception") || capsule.logContains("no memory left") ||
           capsule.logContains("LOG ERROR");
  };
  {
    const MemoryLimit limit(workers);
    std::vector<std::unique_ptr<GeminiClient>> crowd;  // in the middle of their handshakes
    for (int i = 0; i < 400; ++i) {
      crowd.push_back(std::make_unique<GeminiClient>(capsule.port()));
      crowd.back()->tcp().send(crowd.back()->takeHello());
    }
    EXPECT_TRUE(eventually(ranOut)) << "there was memory enough\n" << capsule.log();
  }
  EXPECT_TRUE(eventually([&] { return capsule.get("/").body == "# One\n"; })) << capsule.log();
  EXPECT_EQ(capsule.workerPids(), workers) << capsule.log();
}

#endif

}  // namespace
}  // namespace egalaxyd
