#include "common/shared/launcher_protocol.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/shared/launcher_plan.h"

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

RunScript someRun() {
  return {.run = 7,
          .mount = 2,
          .script = "a/b.cgi",
          .variables = {{0, "CGI/1.1"}, {17, ""}},
          .body = "12-3",
          .client = "192.0.2.1",
          .clientNumber = 1ULL << 40};
}

const std::vector<WorkerAsks> kAsks{someRun(), StopScript{7}, DialUpstream{8, 1, "alice"}};
const std::vector<LauncherAnswers> kAnswers{
    ScriptStarted{7, 4711}, Dialled{8}, NotStarted{9, WhyNot::kGone, "it is gone"},
    ScriptEnded{.run = 7, .exitCode = 0, .signal = 11, .cpuMs = 12, .stopped = true}};
const std::vector<MasterSays> kOrders{TakePlan{}, TakeWorker{-5}, ListScripts{1}, StopProcess{2, 3},
                                      FinishRuns{}};
const std::vector<LauncherSays> kReports{
    LauncherReady{}, WorkerLied{-5, "nonsense"},
    ScriptsRunning{1, 2, {{4711, "/cgi-bin", "a", 10, 20, "192.0.2.1"}, {}}},
    ScriptStopped{2, true}, LauncherWarns{"no landlock"}};

TEST(LauncherProtocol, ReadsEveryMessageThatItWrites) {
  for (const auto& one : kAsks) EXPECT_EQ(decodeWorkerAsks(encode(one)), one);
  for (const auto& one : kAnswers) EXPECT_EQ(decodeLauncherAnswers(encode(one)), one);
  for (const auto& one : kOrders) EXPECT_EQ(decodeMasterSays(encode(one)), one);
  for (const auto& one : kReports) EXPECT_EQ(decodeLauncherSays(encode(one)), one);
}

TEST(LauncherProtocol, RefusesWhatIsCutShortOrHasMore) {
  for (const auto& one : kAsks) {
    const std::string whole = encode(one);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_FALSE(decodeWorkerAsks(whole.substr(0, length))) << length;
    }
    EXPECT_FALSE(decodeWorkerAsks(whole + '\0'));
  }
}

TEST(LauncherProtocol, RefusesUnknownKindsAndReasons) {
  EXPECT_FALSE(decodeWorkerAsks("\x03"));
  EXPECT_FALSE(decodeMasterSays("\xff"));
  EXPECT_FALSE(decodeLauncherAnswers(encode(LauncherAnswers(NotStarted{1, WhyNot{0}, ""}))));
  EXPECT_FALSE(decodeLauncherAnswers(encode(LauncherAnswers(NotStarted{1, WhyNot{7}, ""}))));
}

TEST(LauncherProtocol, RefusesMoreThanAPacketHolds) {
  RunScript ask = someRun();
  ask.variables = {{0, std::string(kMostLauncherBytes, 'x')}};
  EXPECT_FALSE(decodeWorkerAsks(encode(WorkerAsks(ask))));
}

TEST(LauncherProtocol, SaysHowManyDescriptorsComeAlong) {
  EXPECT_EQ(filesWith(kAnswers[0]), 2U);
  EXPECT_EQ(filesWith(kAnswers[1]), 1U);
  EXPECT_EQ(filesWith(kAnswers[2]), 0U);
  EXPECT_EQ(filesWith(kOrders[0]), 2U);
  EXPECT_EQ(filesWith(kOrders[1]), 1U);
  EXPECT_EQ(filesWith(kOrders[4]), 0U);
}

LauncherPlan somePlan() {
  ScriptMount mount;
  mount.number = 3;
  mount.name = "/cgi-bin";
  mount.root = "/srv/cgi-bin";
  mount.arguments = {"-x", ""};
  mount.environment = {{"TZ", "UTC"}};
  mount.followsLinks = true;
  mount.cpuSeconds = 30;
  mount.whole = 2min;
  mount.longest = 9min;
  LauncherPlan plan;
  plan.hidden = {"/run/egalaxyd"};
  mount.anyUser = true;
  mount.ownOnly = true;
  plan.mounts = {mount, {}};
  plan.upstreams = {{.number = 1, .address = "unix:/run/app.sock", .connectTimeout = 1s},
                    {.number = 2, .address = "unix:%home%/s", .users = {"*"}, .minUid = 1000}};
  return plan;
}

TEST(LauncherPlan, IsReadAsItWasWritten) {
  EXPECT_EQ(decodeLauncherPlan(encode(somePlan())), somePlan());
  EXPECT_EQ(decodeLauncherPlan(encode(LauncherPlan())), LauncherPlan());
}

TEST(LauncherPlan, IsRefusedWhenItIsCutShort) {
  const std::string whole = encode(somePlan());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(decodeLauncherPlan(whole.substr(0, length))) << length;
  }
}

}  // namespace
}  // namespace egalaxyd
