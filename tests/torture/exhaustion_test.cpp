// Reloads when there is no process left to fork, and far more reloads than anybody needs.
//
// A few seconds by default; EGALAXYD_TORTURE=whole takes as long as it takes.
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/capsule.h"
#include "tests/support/load.h"

namespace egalaxyd {
namespace {

bool whole() {
  const char* wanted = std::getenv("EGALAXYD_TORTURE");
  return wanted != nullptr && std::string_view(wanted) == "whole";
}

/// RLIMIT_NPROC does not bind root.
void becomeOrdinary() {
  constexpr uid_t kNobody = 65534;
  if (::geteuid() != 0) return;
  ASSERT_EQ(::setgroups(0, nullptr), 0);
  ASSERT_EQ(::setresgid(kNobody, kNobody, kNobody), 0);
  ASSERT_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
}

void limitProcesses(pid_t pid, rlim_t most) {
  rlimit limit{};
  ASSERT_EQ(::prlimit(pid, RLIMIT_NPROC, nullptr, &limit), 0);
  limit.rlim_cur = std::min(most, limit.rlim_max);
  ASSERT_EQ(::prlimit(pid, RLIMIT_NPROC, &limit, nullptr), 0);
}

/// Processes and threads of this user, which the limit counts together.
rlim_t ownTasks() {
  rlim_t tasks = 0;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) != 0 || info.st_uid != ::geteuid()) continue;
    for (std::filesystem::directory_iterator task(entry.path() / "task", gone), end;
         !gone && task != end; task.increment(gone)) {
      ++tasks;
    }
  }
  return tasks;
}

TEST(Exhaustion, OfProcessesFailsReloadsAndNoRequest) {
  becomeOrdinary();
  constexpr rlim_t kEnough = 100'000;
  constexpr rlim_t kMostMore = 60;  // beyond what two workers with their threads need
  Capsule capsule;
  capsule.page("index.gmi", "# Welcome\n");
  capsule.start();
  Load load(capsule.port(), capsule.url("/"), 2);
  ASSERT_TRUE(load.waitForServed(4)) << load.failures();
  unsigned failed = 0;
  bool succeeded = false;
  // From a limit that is reached: at first no worker can be forked, then one, then not all threads.
  const rlim_t tasks = ownTasks();
  for (rlim_t most = tasks; !succeeded && most < tasks + kMostMore; most += whole() ? 1U : 3U) {
    limitProcesses(capsule.masterPid(), most);
    const Finished reload = capsule.ctl({"reload"});
    succeeded = reload.status.code == 0;
    failed += succeeded ? 0 : 1;
    EXPECT_TRUE(succeeded || reload.err.find("reload failed") != std::string::npos) << reload.all();
    ASSERT_TRUE(load.waitForServed(2)) << load.failures() << capsule.log();
  }
  EXPECT_TRUE(succeeded);
  EXPECT_GT(failed, 0U) << "the limit was never felt";
  limitProcesses(capsule.masterPid(), kEnough);
  EXPECT_EQ(capsule.ctl({"reload"}).status.code, 0) << capsule.log();
  ASSERT_TRUE(load.waitForServed(4)) << load.failures() << capsule.log();
  load.stop();
  EXPECT_EQ(load.failed(), 0U) << load.failures();
}

TEST(ReloadStorm, GivesEachReloadItsVerdictAndFailsNoRequest) {
  constexpr unsigned kAtOnce = 20;
  [[maybe_unused]] constexpr std::size_t kMostMoreKib = 4096;
  const unsigned signals = whole() ? 2'000 : 200;
  Capsule capsule;
  capsule.page("index.gmi", "# Welcome\n");
  capsule.start();
  Load load(capsule.port(), capsule.url("/"), 4);
  EXPECT_EQ(capsule.ctl({"reload"}).status.code, 0);
  [[maybe_unused]] const std::size_t before = anonymousKib(capsule.masterPid());

  std::vector<int> verdicts(kAtOnce, -1);
  std::vector<std::thread> operators;
  for (int& verdict : verdicts) {
    operators.emplace_back([&] { verdict = capsule.ctl({"reload"}).status.code; });
  }
  for (std::thread& each : operators) each.join();
  EXPECT_EQ(verdicts, std::vector<int>(kAtOnce, 0)) << capsule.log();

  for (unsigned i = 0; i < signals; ++i) {
    capsule.process().signal(SIGHUP);
    if (i % 10 != 0) continue;
    ASSERT_TRUE(load.waitForServed(1)) << load.failures() << capsule.log();
  }
  EXPECT_EQ(capsule.ctl({"reload"}).status.code, 0) << capsule.log();
  ASSERT_TRUE(load.waitForServed(4)) << load.failures() << capsule.log();
  load.stop();
  EXPECT_EQ(load.failed(), 0U) << load.failures();
  EXPECT_TRUE(eventually([&] { return capsule.workerPids().size() == 2; })) << capsule.log();
#ifndef EGALAXYD_SANITIZED  // they keep what was freed
  EXPECT_LT(anonymousKib(capsule.masterPid()), before + kMostMoreKib);
#endif
}

}  // namespace
}  // namespace egalaxyd
