// The master with workers that do nothing, forked by a spawner that fails where a test wants.
#include "master/master.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <bitset>
#include <iostream>
#include <new>
#include <string>

#include "common/loop/signal_source.h"
#include "common/shared/root_report.h"
#include "common/system/log.h"
#include "tests/support/control_client.h"
#include "tests/support/deadline.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

enum class Fault : unsigned {
  kFork,          ///< there is no process
  kWatchEnd,      ///< its end cannot be watched
  kWatchChannel,  ///< nor what it says
};

/// Shared with the master's process.
struct Wishes {
  std::atomic<unsigned> failing{0};  ///< bit n: the nth fork from now fails
  std::atomic<Fault> fault{Fault::kFork};
  std::atomic<bool> stubborn{false};   ///< workers forked from now on do not leave when asked to
  std::atomic<bool> beyond{false};     ///< workers say that their sandbox does not know the root
  std::atomic<bool> badConfig{false};  ///< the configuration of the next reload
  // What happened.
  std::atomic<unsigned> ready{0};    ///< the master said that all workers are
  std::atomic<unsigned> drained{0};  ///< workers that were asked to leave, and did
};

/// Of a worker, with nothing behind it.
int pretendToServe(WorkerChannel& channel, Wishes& wishes) {
  using Kind = WorkerChannel::Received::Kind;
  resetSignals();
  const bool stubborn = wishes.stubborn;
  if (wishes.beyond) {
    const RootReport report{0, {Presence::Kind::kBeyond, "the sandbox allows no reading there"}};
    static_cast<void>(channel.send(ChannelMessage::kRoot, report.encode()));
  }
  static_cast<void>(channel.send(ChannelMessage::kReady));
  for (;;) {
    pollfd readable{channel.fd(), POLLIN, 0};
    ::poll(&readable, 1, -1);
    const auto received = channel.receive();
    if (received.kind == Kind::kPeerGone) return 0;
    if (received.kind != Kind::kMessage || received.message != ChannelMessage::kDrain) continue;
    static_cast<void>(channel.send(ChannelMessage::kClosed));
    if (stubborn) continue;
    ++wishes.drained;
    return 0;
  }
}

/// /dev/null, which cannot be watched.
UniqueFd unwatchable() { return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)); }

class MasterTest : public testing::Test {
 protected:
  MasterTest() {
    void* memory =
        ::mmap(nullptr, sizeof(Wishes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    wishes_ = new (memory) Wishes;
    dir_.makeDir("root");
    config_ = parseConfig(
        "server.workers = 2\nserver.user = \"root\"\nserver.sandbox = \"off\"\n"
        "server.state_dir = \"state\"\nserver.runtime_dir = \"run\"\n"
        "listen.gemini = []\nlisten.spartan = [\"127.0.0.1:0\"]\n"
        "log.level = \"error\"\n"
        "[sites.localhost]\nroot = \"root\"\nspartan = true\n",
        dir_ / "egalaxyd.toml");
  }
  ~MasterTest() override {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::munmap(wishes_, sizeof(Wishes));
  }

  /// The master begins, in a process of its own.
  void start() {
    auto forked = forkProcess([this] { return runMaster(); });
    ASSERT_TRUE(forked) << forked.error().message;
    pid_ = forked->pid;
  }
  void startAndServe(std::uint32_t workers = 2) {
    config_.config.server.workers = workers;
    start();
    ASSERT_TRUE(eventually([&] { return readyWorkers() == workers; })) << status();
  }
  void failForks(unsigned mask, Fault fault = Fault::kFork) {
    wishes_->fault = fault;
    wishes_->failing = mask;
  }
  /// With a certificate that has expired, which the master looks at every `interval`.
  void expireCertificate(Clock::duration interval) {
    makeTestCertificate({.fromDays = -9, .toDays = -1}).writePem(dir_ / "a.crt", dir_ / "a.key");
    config_.config.tls.certificate = dir_ / "a.crt";
    config_.config.tls.key = dir_ / "a.key";
    config_.config.log.level = LogLevel::kWarn;
    config_.config.log.target = dir_ / "log";
    certificateLooks_ = interval;
  }
  std::size_t timesLogged(std::string_view text) const {
    const std::string log = dir_.read("log");
    std::size_t count = 0;
    for (auto at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++count;
    return count;
  }
  void makeWorkersStubborn() { wishes_->stubborn = true; }
  void putTheRootBeyondTheSandbox() { wishes_->beyond = true; }
  void breakConfiguration() { wishes_->badConfig = true; }
  void mendConfiguration() { wishes_->badConfig = false; }
  unsigned timesReady() const { return wishes_->ready; }
  unsigned drainedWorkers() const { return wishes_->drained; }

  /// The answer to a command and its arguments: command("restart\",\"worker\":\"all").
  std::string command(const std::string& words) {
    ControlClient client(config_.config.server.runtimeDir / kControlSocket);
    if (!client.connected()) return "";
    client.send("{\"v\":1,\"command\":\"" + words + "\"}\n");
    return client.line();
  }
  std::string reload() { return command("reload"); }
  std::string restartAll() { return command("restart\",\"worker\":\"all"); }
  std::string status() { return command("status"); }
  std::size_t readyWorkers() {
    const std::string text = status();
    const std::string_view state = "\"state\":\"ready\"";
    std::size_t count = 0;
    for (auto at = text.find(state); at != std::string::npos; at = text.find(state, at + 1)) {
      ++count;
    }
    return count;
  }
  pid_t aWorker() {
    const std::string text = status();
    const auto list = text.find("\"workers\"");
    const std::string_view key = "\"pid\":";
    const auto at = text.find(key, list);
    return at == std::string::npos ? 0 : std::stoi(text.substr(at + key.size()));
  }
  void expectServed(std::size_t workers, std::uint64_t generation) {
    EXPECT_TRUE(eventually([&] { return readyWorkers() == workers; })) << status();
    EXPECT_THAT(status(), HasSubstr("\"state\":\"serving\""));
    EXPECT_THAT(status(), HasSubstr("\"generation\":" + std::to_string(generation) + ","));
  }
  /// -1: it did not end by itself.
  int exitCode() {
    int end = 0;
    if (!eventually([&] { return ::waitpid(pid_, &end, WNOHANG) == pid_; })) return -1;
    pid_ = 0;
    return WIFEXITED(end) ? WEXITSTATUS(end) : -1;
  }
  int stop() {
    ::kill(pid_, SIGTERM);
    return exitCode();
  }

 private:
  int runMaster() {
    MasterHooks hooks{.load = [this] { return loadConfig(); },
                      .beforeFork = [] { return Result<void>(); },
                      .ready = [this](const auto&...) { ++wishes_->ready; },
                      .spawn =
                          [this](WorkerSetup setup, const auto& forgetMaster) {
                            return spawn(std::move(setup), forgetMaster);
                          }};
    hooks.policy.firstPause = std::chrono::milliseconds(1);
    hooks.policy.longestPause = std::chrono::milliseconds(4);
    hooks.certificateLooks = certificateLooks_;
    hooks.policy.readyTimeout = std::chrono::minutes(1);  // of many workers on a busy machine
    Master master(std::move(hooks));
    if (const auto failure = master.prepare(config_.config)) {
      for (const std::string& message : failure->messages) std::cerr << message << '\n';
      return failure->exitCode;
    }
    return master.run();
  }
  LoadedConfig loadConfig() const {
    LoadedConfig loaded = config_;
    if (wishes_->badConfig) loaded.complaints.push_back({"line 7", "no such key"});
    return loaded;
  }
  Result<SpawnedWorker> spawn(WorkerSetup, const std::function<void()>& forgetMaster) {
    const unsigned failing = wishes_->failing;
    wishes_->failing = failing >> 1;
    const bool fails = (failing & 1) != 0;
    if (fails && wishes_->fault == Fault::kFork) return Error{ErrorCode::kBusy, "fork: no more"};
    auto ends = messageSocketPair();
    if (!ends) return ends.error();
    WorkerChannel mine(std::move(ends->first));
    auto process = forkProcess([&] {
      mine = WorkerChannel();
      WorkerChannel theirs(std::move(ends->second));
      forgetMaster();
      return pretendToServe(theirs, *wishes_);
    });
    if (!process) return process.error();
    SpawnedWorker worker{std::move(*process), std::move(mine)};
    if (fails && wishes_->fault == Fault::kWatchEnd) worker.pidFd = unwatchable();
    if (fails && wishes_->fault == Fault::kWatchChannel) {
      worker.channel = WorkerChannel(unwatchable());
    }
    return worker;
  }

  TempDir dir_;
  LoadedConfig config_;
  Wishes* wishes_;
  Clock::duration certificateLooks_ = std::chrono::hours(24);
  pid_t pid_ = 0;
};

std::string asBits(unsigned mask) { return "failing: " + std::bitset<6>(mask).to_string(); }

TEST_F(MasterTest, SaysOnceThatItIsReadyWhenAllWorkersAre) {
  startAndServe();
  EXPECT_TRUE(eventually([&] { return timesReady() == 1; }));
  EXPECT_THAT(reload(), StartsWith("{\"ok\":true,\"generation\":2"));
  expectServed(2, 2);
  EXPECT_EQ(timesReady(), 1u);
  EXPECT_EQ(stop(), 0);
}

TEST_F(MasterTest, WarnsOfCertificatesAtItsStartAtReloadsAndAgainAndAgain) {
  const std::string_view warning = "a.crt: the certificate expired at ";
  expireCertificate(std::chrono::hours(24));
  startAndServe();
  EXPECT_EQ(timesLogged(warning), 1u);
  EXPECT_THAT(reload(), StartsWith("{\"ok\":true"));
  EXPECT_EQ(timesLogged(warning), 2u);
  EXPECT_EQ(stop(), 0);

  expireCertificate(std::chrono::milliseconds(10));
  startAndServe();
  EXPECT_TRUE(eventually([&] { return timesLogged(warning) >= 6; }));
  EXPECT_EQ(stop(), 0);
}

TEST_F(MasterTest, DrainsEachWorkerWhenItStops) {
  startAndServe(3);
  EXPECT_EQ(command("stop"), "{\"ok\":true}");
  EXPECT_EQ(exitCode(), 0);
  EXPECT_EQ(drainedWorkers(), 3u);
}

TEST_F(MasterTest, ReplacesWorkersOnceWhereThatDoesNotBringARootIntoTheirReach) {
  putTheRootBeyondTheSandbox();
  startAndServe();
  EXPECT_TRUE(eventually([&] { return drainedWorkers() == 2; }));
  // It looks each second, and waits longer between two rounds.
  EXPECT_FALSE(eventually([&] { return drainedWorkers() > 2; }, std::chrono::milliseconds(2500)));
  EXPECT_EQ(stop(), 0);
}

TEST_F(MasterTest, ServesOnWithTheOldConfigurationWhenTheNewOneIsBad) {
  startAndServe();
  const pid_t worker = aWorker();
  breakConfiguration();
  EXPECT_EQ(reload(), R"({"ok":false,"error":"reload failed: generation 1 serves on",)"
                      R"("complaints":["line 7: no such key"]})");
  expectServed(2, 1);
  EXPECT_EQ(aWorker(), worker) << "nobody was replaced";
  mendConfiguration();
  EXPECT_THAT(reload(), StartsWith("{\"ok\":true,\"generation\":2"));
  EXPECT_EQ(stop(), 0);
}

TEST_F(MasterTest, ServesThoughForksFailAtTheStart) {
  for (unsigned mask = 0; mask < 16; ++mask) {
    if (std::popcount(mask) > 2) continue;  // the third failure of one worker ends the start
    SCOPED_TRACE(asBits(mask));
    failForks(mask);
    start();
    expectServed(2, 1);
    EXPECT_EQ(stop(), 0);
  }
}

TEST_F(MasterTest, GivesUpWhenNoForkSucceedsAtTheStart) {
  failForks(~0U);
  start();
  EXPECT_GT(exitCode(), 0);
}

TEST_F(MasterTest, ServesOnWhenForksFailDuringAReload) {
  startAndServe(3);
  std::uint64_t generation = 1;
  for (const Fault fault : {Fault::kFork, Fault::kWatchEnd, Fault::kWatchChannel}) {
    for (unsigned mask = 1; mask < 8; mask += fault == Fault::kFork ? 1U : 3U) {
      SCOPED_TRACE(asBits(mask));
      failForks(mask, fault);
      EXPECT_THAT(reload(), StartsWith("{\"ok\":false,\"error\":\"reload failed: generation"));
      expectServed(3, generation);
      failForks(0);
      EXPECT_THAT(reload(), StartsWith("{\"ok\":true"));
      generation += 2;
      expectServed(3, generation);
    }
  }
  EXPECT_EQ(stop(), 0);
}

TEST_F(MasterTest, ServesOnWhenForksFailDuringARestart) {
  startAndServe(3);
  for (const Fault fault : {Fault::kFork, Fault::kWatchEnd, Fault::kWatchChannel}) {
    for (unsigned nth = 0; nth < 3; ++nth) {
      SCOPED_TRACE(nth);
      failForks(1U << nth, fault);
      EXPECT_THAT(restartAll(), HasSubstr("the old worker serves on"));
      expectServed(3, 1);
      EXPECT_THAT(restartAll(), StartsWith("{\"ok\":true"));
      expectServed(3, 1);
    }
  }
  EXPECT_EQ(stop(), 0);
}

TEST_F(MasterTest, ReplacesADeadWorkerOnceForksSucceedAgain) {
  startAndServe();
  for (const Fault fault : {Fault::kFork, Fault::kWatchEnd, Fault::kWatchChannel}) {
    for (unsigned mask = 0; mask < 8; mask += fault == Fault::kFork ? 1U : 3U) {
      SCOPED_TRACE(asBits(mask));
      failForks(mask, fault);
      const pid_t victim = aWorker();
      ASSERT_GT(victim, 0);
      ::kill(victim, SIGKILL);
      EXPECT_TRUE(eventually([&] { return ::kill(victim, 0) != 0; }));
      expectServed(2, 1);
    }
  }
  EXPECT_EQ(stop(), 0);
}

TEST_F(MasterTest, StopsWhileForksFail) {
  startAndServe();
  failForks(~0U);
  ::kill(aWorker(), SIGKILL);
  EXPECT_EQ(stop(), 0);
}

TEST_F(MasterTest, AnswersAReloadForWhichThereIsNoRoom) {
  makeWorkersStubborn();
  startAndServe(SharedState::kSlots / 2);
  EXPECT_THAT(reload(), StartsWith("{\"ok\":true"));
  EXPECT_THAT(restartAll(), HasSubstr("too many workers drain"));
  EXPECT_THAT(status(), HasSubstr("\"state\":\"serving\""));
}

}  // namespace
}  // namespace egalaxyd
