#include "worker/storage_opener.h"

#include <spdlog/fmt/fmt.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "common/cluster/server_storage.h"
#include "worker/plan/serving_plan.h"

namespace egalaxyd {
namespace {

/// SQLite's busy timeout: how long a write may wait for another process's.
constexpr auto kStorageBusyTimeout = std::chrono::seconds(5);

StorageLimits storageLimits(const Config& config) {
  return {.newUsersPerMinute = config.users.newPerMinute};
}

}  // namespace

StorageLane::Open storageOpener(const WorkerSetup& setup, DatabaseSight& sight) {
  const Config& config = setup.plan->config;
  const bool isReady = config.storage.engine == StorageKind::kSqlite || setup.databaseIsReady;
  return [&config, &sight, worker = setup.workerNumber,
          ready = std::make_shared<std::atomic<bool>>(isReady)](
             std::size_t number) -> Result<std::unique_ptr<Storage>> {
    if (!*ready) {
      if (auto made = migrateServerDatabase(config.storage); !made) return made.error();
      *ready = true;
    }
    return openServerStorage(config, fmt::format("{}/{}", worker, number), kStorageBusyTimeout,
                             storageLimits(config), sight);
  };
}

std::optional<SharedEngineRules> sharedEngineRules(const StorageConfig& storage) {
  if (storage.engine == StorageKind::kSqlite) return std::nullopt;
  return SharedEngineRules{.patience = storage.patience};
}

}  // namespace egalaxyd
