#include "common/cluster/server_storage.h"

#include "common/cluster/database_access.h"
#include "common/storage/schema.h"
#include "common/storage/sqlite_storage.h"

namespace egalaxyd {

Result<std::unique_ptr<Storage>> openServerStorage(const Config& config, std::string_view lane,
                                                   std::chrono::milliseconds busyTimeout,
                                                   const StorageLimits& limits,
                                                   DatabaseSight& sight) {
  if (config.storage.engine == StorageKind::kSqlite) {
    return openSqliteStorage(config.server.stateDir / kDatabaseFile, busyTimeout, limits);
  }
  const auto engine = loadDatabaseEngine();
  if (!engine) return engine.error();
  return (*engine)->openStorage(databaseAccess(config.storage), lane, limits, sight);
}

Result<void> migrateServerDatabase(const StorageConfig& storage) {
  const auto engine = loadDatabaseEngine();
  return engine ? (*engine)->migrate(databaseAccess(storage)) : Result<void>(engine.error());
}

}  // namespace egalaxyd
