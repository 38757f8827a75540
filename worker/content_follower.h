// What a worker does so that the files of all hosts are what their database says.
#pragma once

#include <memory>

#include "common/cluster/shared_sight.h"
#include "common/loop/event_loop.h"
#include "worker/follower/follower.h"
#include "worker/plan/worker_setup.h"
#include "worker/upload/change_teller.h"

namespace egalaxyd {

/// nullptr with SQLite, and where the module cannot be loaded. `setup` and `sight` must outlive it.
std::unique_ptr<ChangeTeller> makeTeller(EventLoop& loop, const WorkerSetup& setup,
                                         SharedSight& sight);

/// The same; one worker of a generation has it.
std::unique_ptr<Follower> makeFollower(const WorkerSetup& setup, SharedSight& sight);

}  // namespace egalaxyd
