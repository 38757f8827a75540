// Workers that are killed again and again while clients ask.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/capsule.h"
#include "tests/support/load.h"

namespace egalaxyd {
namespace {

TEST(KilledWorkers, NeverStopTheService) {
  constexpr unsigned kClients = 6;
  constexpr unsigned kKills = 12;
  Capsule capsule;
  capsule.page("index.gmi", "# Welcome\n");
  capsule.set("server.workers", "3");
  capsule.start();
  Load load(capsule.port(), capsule.url("/"), kClients);
  for (unsigned i = 0; i < kKills; ++i) {
    ASSERT_TRUE(load.waitForServed(30)) << load.failures() << capsule.log();
    const std::vector<pid_t> workers = capsule.workerPids();
    ASSERT_FALSE(workers.empty());
    const pid_t victim = workers.front();
    ::kill(victim, SIGKILL);
    ASSERT_TRUE(eventually([&] {
      const std::vector<pid_t> now = capsule.workerPids();
      return std::find(now.begin(), now.end(), victim) == now.end();
    }));
  }
  ASSERT_TRUE(load.waitForServed(30)) << load.failures() << capsule.log();
  load.stop();
  EXPECT_LE(load.failed(), kClients * kKills) << load.failures();
  EXPECT_TRUE(eventually([&] { return capsule.workerPids().size() == 3; })) << capsule.log();
}

TEST(KilledWorkers, AndReloadsTogetherCostOnlyWhatTheDeadHeld) {
  constexpr unsigned kClients = 4;
  constexpr unsigned kRounds = 4;
  Capsule capsule;
  capsule.page("index.gmi", "# Welcome\n");
  capsule.start();
  Load load(capsule.port(), capsule.url("/"), kClients);
  for (unsigned i = 0; i < kRounds; ++i) {
    ASSERT_TRUE(load.waitForServed(20)) << load.failures() << capsule.log();
    capsule.killWorker(0);
    capsule.reload();
  }
  ASSERT_TRUE(load.waitForServed(20)) << load.failures() << capsule.log();
  load.stop();
  EXPECT_LE(load.failed(), kClients * kRounds) << load.failures();
}

}  // namespace
}  // namespace egalaxyd
