#include "master/launcher/script_processes.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <set>
#include <utility>
#include <vector>

#include "master/launcher/orphans.h"

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kUntilKill{2'000};
constexpr milliseconds kBetweenKills{1'000};

/// For kill(2): a child's group, or itself while it is in ours.
pid_t groupOf(pid_t child) {
  const pid_t group = ::getpgid(child);
  return group > 0 && group != ::getpgrp() ? -group : child;
}

std::uint64_t milliseconds64(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1000 +
         static_cast<std::uint64_t>(time.tv_usec) / 1000;
}

}  // namespace

Result<void> ScriptProcesses::start(std::uint64_t run, const ScriptOrder& order,
                                    ScriptOwner& owner) {
  score_.beScripts();
  auto forked = forkScript(order);
  score_.beOwn();
  if (!forked) return forked.error();
  const pid_t pid = forked->pid;
  mains_.emplace(pid, run);
  auto& made =
      *(runs_[run] = std::make_unique<Run>(
            loop_, owner, std::move(*forked), [this, run] { onReport(run, *runs_.at(run)); },
            [this, run] { onTime(run, *runs_.at(run)); }));
  if (!made.report.start(made.forked.report.get(), WatchMode::kRead)) stop(run, {});
  if (order.mount.whole.count() > 0) made.leftoversUntil = Clock::now() + order.mount.whole;
  if (order.mount.longest.count() > 0) made.timer.setAfter(order.mount.longest);
  return {};
}

void ScriptProcesses::stop(std::uint64_t number, milliseconds grace) {
  const auto found = runs_.find(number);
  if (found == runs_.end()) return;
  Run& run = *found->second;
  if (run.stage > Run::Stage::kStopping) return;
  if (grace.count() == 0) return terminate(number, run);
  if (run.stage == Run::Stage::kStopping) return;
  run.stage = Run::Stage::kStopping;
  run.timer.setAfter(grace);
}

milliseconds ScriptProcesses::cpuTime(std::uint64_t number) const {
  const auto found = runs_.find(number);
  clockid_t clock{};
  timespec time{};
  if (found == runs_.end() || found->second->ended ||
      ::clock_getcpuclockid(found->second->forked.pid, &clock) != 0 ||
      ::clock_gettime(clock, &time) != 0) {
    return {};
  }
  return std::chrono::duration_cast<milliseconds>(std::chrono::seconds(time.tv_sec) +
                                                  std::chrono::nanoseconds(time.tv_nsec));
}

void ScriptProcesses::collect() {
  int status = 0;
  rusage used{};
  bool someEnded = false;
  pid_t pid = 0;
  while ((pid = ::wait4(-1, &status, WNOHANG | __WALL, &used)) > 0) {
    someEnded = true;
    const auto main = mains_.find(pid);
    if (main == mains_.end()) continue;
    const std::uint64_t number = main->second;
    mains_.erase(main);
    endMain(number, *runs_.at(number), status,
            milliseconds64(used.ru_utime) + milliseconds64(used.ru_stime));
  }
  if (someEnded) sweep(pid == 0 ? childrenHere() : std::vector<pid_t>());
}

/// The script runs, or could not be executed.
void ScriptProcesses::onReport(std::uint64_t number, Run& run) {
  const auto failure = readStartFailure(run.forked.report.get());
  run.report.stop();
  run.forked.report.reset();
  if (failure) {
    run.failed = true;
    run.forked.output.reset();
    run.forked.errors.reset();
    return run.owner.failed(number, *failure);
  }
  run.owner.started(number, run.forked.pid, std::move(run.forked.output),
                    std::move(run.forked.errors));
}

void ScriptProcesses::onTime(std::uint64_t number, Run& run) {
  if (run.stage < Run::Stage::kTerminated) return terminate(number, run);
  run.stage = Run::Stage::kKilled;
  signal(number, run, SIGKILL);
  run.timer.setAfter(kBetweenKills);
}

void ScriptProcesses::terminate(std::uint64_t number, Run& run) {
  run.stage = Run::Stage::kTerminated;
  signal(number, run, SIGTERM);
  run.timer.setAfter(kUntilKill);
}

/// Numbers of processes and groups cannot have become others': those that are named belong to
/// children that nobody has collected yet.
void ScriptProcesses::signal(std::uint64_t number, const Run& run, int signal) const {
  std::set<pid_t> targets;
  if (!run.ended) targets.insert(groupOf(run.forked.pid));
  for (const pid_t child : childrenHere()) {
    if (!isMain(child) && tagOf(child) == number) targets.insert(groupOf(child));
  }
  for (const pid_t target : targets) ::kill(target, signal);
}

void ScriptProcesses::endMain(std::uint64_t number, Run& run, int status, std::uint64_t cpuMs) {
  if (run.forked.report) onReport(number, run);
  run.ended = true;
  if (run.failed) return;
  if (run.leftoversUntil && run.stage == Run::Stage::kRuns) run.timer.setAt(*run.leftoversUntil);
  ScriptExit exit;
  exit.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  exit.exitCode = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  exit.cpuMs = cpuMs;
  exit.stopped = run.stage != Run::Stage::kRuns;
  run.owner.ended(number, exit);
}

/// What runs that have ended left behind lives on until their time is over; what is nobody's does
/// not.
void ScriptProcesses::sweep(const std::vector<pid_t>& children) {
  std::set<std::uint64_t> alive;
  for (const pid_t child : children) {
    if (isMain(child)) continue;
    const std::uint64_t number = tagOf(child);
    const auto found = runs_.find(number);
    if (found == runs_.end()) {
      ::kill(child, SIGKILL);
      continue;
    }
    alive.insert(number);
    if (found->second->stage == Run::Stage::kKilled) ::kill(groupOf(child), SIGKILL);
  }
  std::vector<std::pair<std::uint64_t, ScriptOwner*>> over;
  for (const auto& [number, run] : runs_) {
    if (run->ended && !alive.contains(number)) over.emplace_back(number, &run->owner);
  }
  for (const auto& [number, owner] : over) {
    runs_.erase(number);
    owner->over(number);
  }
}

}  // namespace egalaxyd
