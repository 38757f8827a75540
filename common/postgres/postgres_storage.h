// The storage that several hosts share: one connection to PostgreSQL, durable on two machines at
// every commit.
#pragma once

#include <memory>
#include <string_view>

#include "common/cluster/database_engine.h"
#include "common/storage/storage.h"

namespace egalaxyd::postgres {

/// As DatabaseEngine::openStorage().
Result<std::unique_ptr<Storage>> openPostgresStorage(const DatabaseAccess& access,
                                                     std::string_view lane,
                                                     const StorageLimits& limits,
                                                     DatabaseSight& sight);

}  // namespace egalaxyd::postgres
