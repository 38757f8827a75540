// Forks workers and learns how they ended.
#pragma once

#include <functional>

#include "common/shared/worker_channel.h"
#include "master/child/forked_process.h"
#include "master/supervise/supervisor.h"
#include "worker/worker.h"

namespace egalaxyd {

struct SpawnedWorker : ForkedProcess {
  WorkerChannel channel;
};

/// Forks a process that runs `forgetMaster`, which closes what is the master's alone, and then
/// runWorker(setup) with the other end of the returned channel. The process never returns from
/// here. The caller must have one thread.
Result<SpawnedWorker> spawnWorker(WorkerSetup setup, const std::function<void()>& forgetMaster);

/// Collects a worker whose pidFd is readable (waitid), and says how it ended.
ExitCause collectWorker(const SpawnedWorker& worker);

}  // namespace egalaxyd
