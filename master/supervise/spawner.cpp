#include "master/supervise/spawner.h"

#include <spdlog/fmt/fmt.h>
#include <sys/wait.h>
#include <sysexits.h>

#include <utility>

namespace egalaxyd {
namespace {

const char* meaningOf(int code) {
  switch (code) {
    case kWorkerExitRefused:
      return " (could not serve)";
    case kWorkerExitLeak:
      return " (left something open)";
    case EX_SOFTWARE:
      return " (an exception)";
    default:
      return "";
  }
}

}  // namespace

Result<SpawnedWorker> spawnWorker(WorkerSetup setup, const std::function<void()>& forgetMaster) {
  auto ends = messageSocketPair();
  if (!ends) return ends.error();
  WorkerChannel mine(std::move(ends->first));
  setup.channel = WorkerChannel(std::move(ends->second));
  auto process = forkProcess([&] {
    mine = WorkerChannel();
    forgetMaster();
    return runWorker(std::move(setup));
  });
  if (!process) return process.error();
  return SpawnedWorker{std::move(*process), std::move(mine)};
}

ExitCause collectWorker(const SpawnedWorker& worker) {
  const siginfo_t info = collectProcess(worker);
  const bool exited = info.si_pid != 0 && info.si_code == CLD_EXITED;
  return {exited && info.si_status == kWorkerExitDone,
          endInWords(info) + (exited ? meaningOf(info.si_status) : "")};
}

}  // namespace egalaxyd
