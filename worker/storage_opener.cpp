#include "worker/storage_opener.h"

#include <spdlog/fmt/fmt.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "common/storage/schema.h"
#include "common/storage/sqlite_storage.h"
#include "worker/plan/serving_plan.h"

namespace egalaxyd {
namespace {

/// SQLite's busy timeout: how long a write may wait for another process's.
constexpr auto kStorageBusyTimeout = std::chrono::seconds(5);

StorageLimits storageLimits(const Config& config) {
  return {.newUsersPerMinute = config.users.newPerMinute};
}

Result<std::unique_ptr<Storage>> openShared(const WorkerSetup& setup, std::size_t number,
                                            DatabaseSight& sight, std::atomic<bool>& isReady) {
  const auto engine = loadDatabaseEngine();
  if (!engine) return engine.error();
  if (!isReady) {
    if (auto migrated = (*engine)->migrate(*setup.database); !migrated) return migrated.error();
    isReady = true;
  }
  return (*engine)->openStorage(*setup.database, fmt::format("{}/{}", setup.workerNumber, number),
                                storageLimits(setup.plan->config), sight);
}

}  // namespace

StorageLane::Open storageOpener(const WorkerSetup& setup, DatabaseSight& sight) {
  if (setup.database != nullptr) {
    const auto isReady = std::make_shared<std::atomic<bool>>(setup.databaseIsReady);
    return [&setup, &sight, isReady](std::size_t number) {
      return openShared(setup, number, sight, *isReady);
    };
  }
  return [file = setup.plan->config.server.stateDir / kDatabaseFile,
          limits = storageLimits(setup.plan->config)](std::size_t) {
    return openSqliteStorage(file, kStorageBusyTimeout, limits);
  };
}

std::optional<SharedEngineRules> sharedEngineRules(const WorkerSetup& setup) {
  if (setup.database == nullptr) return std::nullopt;
  return SharedEngineRules{.patience = setup.database->patience};
}

}  // namespace egalaxyd
