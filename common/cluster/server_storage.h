// The storage of a configuration, whichever engine it names.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "common/base/result.h"
#include "common/cluster/database_engine.h"
#include "common/config/config.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// `lane` names a connection that writes, see DatabaseEngine::openStorage(); SQLite waits as long
/// as `busyTimeout` for another process's write. `sight` must outlive it. A thread that may wait.
Result<std::unique_ptr<Storage>> openServerStorage(const Config& config, std::string_view lane,
                                                   std::chrono::milliseconds busyTimeout,
                                                   const StorageLimits& limits,
                                                   DatabaseSight& sight);

/// Makes the tables of the shared database, or adds what is new.
Result<void> migrateServerDatabase(const StorageConfig& storage);

}  // namespace egalaxyd
