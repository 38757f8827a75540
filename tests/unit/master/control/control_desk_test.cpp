// The control desk in front of a master that does nothing but say what it was asked for.
#include "master/control/control_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <sstream>
#include <thread>

#include "tests/support/control_client.h"
#include "tests/support/deadline.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

/// As no process has.
constexpr pid_t kWorkerPid = 4'999'999;
constexpr uid_t kStranger = 64'999;

class FakeMaster final : public ManagedMaster {
 public:
  FakeMaster() {
    Findings found;
    generation.plan = buildServingPlan(generation.config, PlanPurpose::kCheck, found);
  }

  MasterView view() const override {
    return {.state = state,
            .serving = state == MasterState::kStarting ? 0U : 1U,
            .current = generation,
            .shared = *shared,
            .owner = ::geteuid(),
            .workers = workers,
            .launchers = launchers};
  }
  void reload() override { asked.emplace_back("reload"); }
  void renew() override { asked.emplace_back("renew"); }
  Result<void> restartWorkers(std::optional<std::uint32_t> number) override {
    asked.push_back("restart " + (number ? std::to_string(*number) : "all"));
    return restart;
  }
  void stop() override { asked.emplace_back("stop"); }
  void changeLogLevel(LogLevel level) override {
    asked.push_back("log " + std::string(nameOf(level)));
  }

  std::int64_t nextUploader() override { return 1; }
  void uploaderEnded(std::int64_t) override { asked.emplace_back("settle"); }
  void listScripts(LauncherKeeper::Answered answered) override { answered(scripts); }
  void stopScript(pid_t pid, LauncherKeeper::Answered answered) override {
    asked.push_back("stop script " + std::to_string(pid));
    answered(scripts);
  }

  void runsAWorker() {
    WorkerStatus worker;
    worker.view.key.generation = 1;
    worker.view.state = WorkerState::kReady;
    worker.process.emplace().pid = kWorkerPid;
    workers.push_back(worker);
  }

  MasterState state = MasterState::kServing;
  Generation generation;
  std::unique_ptr<SharedState> shared = std::move(SharedState::create()).value();
  std::vector<WorkerStatus> workers;
  std::vector<LauncherView> launchers;
  LaunchersAnswer scripts;
  Result<void> restart;
  std::vector<std::string> asked;
};

/// The loop, and with it the desk, runs on a thread of its own once a client is there.
class ControlDeskTest : public testing::Test {
 protected:
  ControlDeskTest() { master_.generation.config.server.runtimeDir = dir_ / "run"; }
  ~ControlDeskTest() override {
    loop_.post([this] { loop_.stop(); });
    if (thread_.joinable()) thread_.join();
  }

  void open() {
    desk_.open();
    thread_ = std::thread([this] { loop_.run(); });
  }
  /// A client that has asked, and whose wish has reached the master.
  std::unique_ptr<ControlClient> waiting(const std::string& words) {
    auto client = std::make_unique<ControlClient>(dir_ / "run" / kControlSocket);
    const std::size_t before = asked();
    client->send("{\"v\":1,\"command\":\"" + words + "\"}\n");
    EXPECT_TRUE(eventually([&] { return asked() > before; })) << words;
    return client;
  }
  std::size_t asked() {
    std::size_t count = 0;
    onLoop([&] { count = master_.asked.size(); });
    return count;
  }
  void onLoop(const std::function<void()>& job) {
    std::atomic<bool> done{false};
    loop_.post([&] {
      job();
      done = true;
    });
    while (!done) std::this_thread::yield();
  }
  /// What `peer` is told at once; "": it has to wait.
  std::string told(const ControlRequest& request, const ControlPeer& peer) {
    const auto answer = desk_.answer(/*client=*/0, request, peer);
    return answer ? encodeControlAnswer(*answer) : "";
  }
  std::string told(const ControlRequest& request) {
    return told(request, {::getpid(), ::geteuid(), {}});
  }
  static ControlRequest unknown(const std::string& name) {
    ControlRequest request;
    request.command = name;
    return request;
  }

  const TempDir dir_;
  EventLoop loop_;
  FakeMaster master_;
  ControlDesk desk_{loop_, master_};
  std::thread thread_;
};

/// And one that shows what may be for members of a site only.
constexpr ControlCommand kChanging[] = {
    ControlCommand::kForgetUser, ControlCommand::kContent,     ControlCommand::kRestore,
    ControlCommand::kBackup,     ControlCommand::kClearLimits, ControlCommand::kReload,
    ControlCommand::kRenew,      ControlCommand::kRestart,     ControlCommand::kLog,
    ControlCommand::kStop,       ControlCommand::kStopScript};

TEST_F(ControlDeskTest, RefusesEveryCommandThatChangesSomethingByUid) {
  master_.runsAWorker();
  const uid_t own = ::geteuid();
  for (std::size_t i = 0; i < kControlCommands.size(); ++i) {
    const auto command = static_cast<ControlCommand>(i);
    const bool changes = std::ranges::find(kChanging, command) != std::end(kChanging);
    const auto refused = HasSubstr("may look, but change nothing");
    for (const ControlPeer& peer : {ControlPeer{1, kStranger, {}}, {kWorkerPid, own, {}}}) {
      // Neither a user nor an upload is named: what is asked of the database ends there.
      if (changes) {
        EXPECT_THAT(told(command, peer), refused) << nameOf(command);
      } else if (command != ControlCommand::kUsers && command != ControlCommand::kUploads) {
        EXPECT_THAT(told(command, peer), testing::Not(refused)) << nameOf(command);
      }
    }
  }
  EXPECT_THAT(master_.asked, IsEmpty());
  EXPECT_THAT(told(unknown("explode"), {1, kStranger, {}}), HasSubstr("change nothing"));
}

TEST_F(ControlDeskTest, ObeysItsOwner) {
  EXPECT_EQ(told({ControlCommand::kLog, {{"level", "debug"}}}), "{\"ok\":true}\n");
  EXPECT_EQ(told(ControlCommand::kReload), "");
  EXPECT_EQ(told({ControlCommand::kRestart, {{"worker", "3"}}}), "");
  EXPECT_EQ(told({ControlCommand::kRestart, {{"worker", "all"}}}), "");
  EXPECT_EQ(told(ControlCommand::kStop), "");
  EXPECT_THAT(master_.asked,
              ElementsAre("log debug", "reload", "restart 3", "restart all", "stop"));
}

TEST_F(ControlDeskTest, RefusesAScriptOfItsOwnersAccount) {
  const ControlPeer outside{::getppid(), ::geteuid(), {}};
  const ControlPeer below{::getpid(), ::geteuid(), {}};
  const ControlPeer gone{kWorkerPid, ::geteuid(), {}};
  const auto refused = HasSubstr("a script may look, but change nothing");
  EXPECT_EQ(told(ControlCommand::kReload, below), "") << "there is no launcher";
  LauncherView& launcher = master_.launchers.emplace_back();
  launcher.account.account.uid = ::geteuid();
  EXPECT_EQ(told(ControlCommand::kReload, outside), "");
  EXPECT_THAT(told(ControlCommand::kReload, below), refused);
  EXPECT_THAT(told(ControlCommand::kReload, gone), refused);
  EXPECT_EQ(told(ControlCommand::kScripts, below), "");
  launcher.account.way = LauncherWay::kSystemd;
  EXPECT_THAT(told(ControlCommand::kReload, outside), refused);
  launcher.account.account.uid = kStranger;
  EXPECT_EQ(told(ControlCommand::kReload, outside), "") << "it has another account";
}

TEST_F(ControlDeskTest, ListsAndStopsScripts) {
  ListedScript& running = master_.scripts.scripts.emplace_back();
  running.account = "ann";
  running.script = {.pid = 4711,
                    .mount = "/cgi",
                    .script = "hello",
                    .ageMs = 1'500,
                    .cpuMs = 20,
                    .client = "192.0.2.1"};
  open();
  ControlClient client(dir_ / "run" / kControlSocket);
  client.send("{\"v\":1,\"command\":\"scripts\"}\n");
  EXPECT_EQ(client.line(), R"({"ok":true,"scripts":[{"pid":4711,"mount":"/cgi","script":"hello",)"
                           R"("account":"ann","age_ms":1500,"cpu_ms":20,"client":"192.0.2.1"}],)"
                           R"("more":0,"silent_launchers":0})");
  client.send("{\"v\":1,\"command\":\"stop_script\",\"id\":\"4711\"}\n");
  EXPECT_THAT(client.line(), HasSubstr("no script is process 4711"));
  onLoop([&] { master_.scripts.found = true; });
  client.send("{\"v\":1,\"command\":\"stop_script\",\"id\":\"4711\"}\n");
  EXPECT_EQ(client.line(), R"({"ok":true})");
}

TEST_F(ControlDeskTest, SaysWhatIsWrongWithARequest) {
  EXPECT_THAT(told({ControlCommand::kStopScript, {{"id", "-1"}}}), HasSubstr("is no process id"));
  EXPECT_THAT(told(unknown("explode")), HasSubstr("knows no command explode"));
  EXPECT_THAT(told({ControlCommand::kLog, {{"level", "loud"}}}), HasSubstr("is no level"));
  EXPECT_THAT(told({ControlCommand::kRestart, {{"worker", "-1"}}}), HasSubstr("is no worker"));
  EXPECT_THAT(told(ControlCommand::kUser), HasSubstr("the user's id is missing"));
  EXPECT_THAT(told({ControlCommand::kClearLimits, {{"address", "me"}}}),
              HasSubstr("is no address"));
  EXPECT_THAT(master_.asked, IsEmpty());
}

TEST_F(ControlDeskTest, TellsTheStateOfTheMasterAndItsWorkers) {
  master_.runsAWorker();
  EXPECT_THAT(told(ControlCommand::kStatus), HasSubstr("\"state\":\"serving\""));
  EXPECT_THAT(told(ControlCommand::kStatus), HasSubstr("\"state\":\"ready\",\"pid\":4999999"));
  master_.state = MasterState::kStarting;
  EXPECT_THAT(told(ControlCommand::kStatus), HasSubstr("\"state\":\"starting\""));
  EXPECT_THAT(told(ControlCommand::kStats), HasSubstr("\"pid\":4999999"));
}

TEST_F(ControlDeskTest, AnswersWhoeverWaitsForAReloadOnce) {
  open();
  const auto first = waiting("reload");
  onLoop([&] { desk_.reloadBegins(); });
  const auto second = waiting("reload");  // while the first one's is under way
  onLoop([&] { desk_.reloadSucceeded(2); });
  EXPECT_EQ(first->line(), R"({"ok":true,"generation":2})");
  onLoop([&] {
    desk_.reloadBegins();
    desk_.reloadSucceeded(3);
  });
  EXPECT_EQ(second->line(), R"({"ok":true,"generation":3})");
  onLoop([&] { desk_.stopped(); });
  first->send("{\"v\":1,\"command\":\"log\",\"level\":\"info\"}\n");
  EXPECT_EQ(first->line(), R"({"ok":true})") << "nothing else was said";
}

TEST_F(ControlDeskTest, TellsWhyAReloadFailedToWhoeverAskedAndInTheStatus) {
  open();
  const auto client = waiting("reload");
  onLoop([&] {
    desk_.reloadBegins();
    desk_.reloadFailed({"line 3: no"});
  });
  EXPECT_EQ(client->line(), R"({"ok":false,"error":"reload failed: generation 1 serves on",)"
                            R"("complaints":["line 3: no"]})");
  onLoop([&] {
    EXPECT_THAT(told(ControlCommand::kStatus), HasSubstr(R"("complaints":["line 3: no"])"));
    desk_.reloadSucceeded(2);
    EXPECT_THAT(told(ControlCommand::kStatus), testing::Not(HasSubstr("complaints")));
  });
}

TEST_F(ControlDeskTest, RefusesAReloadWhileItStops) {
  master_.state = MasterState::kStopping;
  EXPECT_THAT(told(ControlCommand::kReload), HasSubstr("the server is stopping"));
  EXPECT_THAT(master_.asked, IsEmpty());
}

TEST_F(ControlDeskTest, AnswersARestartWhenItHasEnded) {
  open();
  const auto done = waiting("restart\",\"worker\":\"0");
  onLoop([&] { desk_.restartEnded(""); });
  EXPECT_EQ(done->line(), R"({"ok":true})");
  const auto failed = waiting("restart\",\"worker\":\"0");
  onLoop([&] { master_.restart = Error{ErrorCode::kBusy, "workers are being restarted already"}; });
  const auto refused = waiting("restart\",\"worker\":\"1");
  EXPECT_THAT(refused->line(), HasSubstr("being restarted already"));
  onLoop([&] { desk_.restartEnded("no memory"); });
  EXPECT_THAT(failed->line(), HasSubstr("the old worker serves on: no memory"));
}

TEST_F(ControlDeskTest, AnswersAllWhoWaitWhenTheServerHasStopped) {
  open();
  const auto running = waiting("reload");
  onLoop([&] { desk_.reloadBegins(); });
  const auto next = waiting("reload");
  const auto stopping = waiting("stop");
  onLoop([&] { desk_.stopped(); });
  EXPECT_THAT(running->line(), HasSubstr("the server stopped"));
  EXPECT_THAT(next->line(), HasSubstr("the server stopped"));
  EXPECT_EQ(stopping->line(), R"({"ok":true})");
}

TEST_F(ControlDeskTest, ForgetsAClientThatGoesWhileItWaits) {
  open();
  for (std::size_t i = 0; i < 2 * ControlServer::kMostClients; ++i) waiting("reload");
  const auto staying = waiting("reload");
  onLoop([&] {
    desk_.reloadBegins();
    desk_.reloadSucceeded(2);
  });
  EXPECT_EQ(staying->line(), R"({"ok":true,"generation":2})");
}

TEST_F(ControlDeskTest, OpensItsSocketAgainWhereSomebodyRemovedIt) {
  open();
  std::filesystem::remove_all(dir_ / "run");
  onLoop([&] { desk_.keepOpen(); });
  waiting("reload");
}

}  // namespace
}  // namespace egalaxyd
