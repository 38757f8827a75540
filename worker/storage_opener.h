// How a worker opens the storage of its configuration.
#pragma once

#include <optional>

#include "common/cluster/shared_sight.h"
#include "worker/base/storage_lane.h"
#include "worker/plan/worker_setup.h"

namespace egalaxyd {

/// For StorageLane. `setup` and `sight` must outlive it. With a shared database, tables that the
/// master could not see to are seen to before the first opening.
StorageLane::Open storageOpener(const WorkerSetup& setup, DatabaseSight& sight);

/// nullopt with SQLite.
std::optional<SharedEngineRules> sharedEngineRules(const StorageConfig& storage);

}  // namespace egalaxyd
