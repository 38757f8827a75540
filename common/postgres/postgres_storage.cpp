#include "common/postgres/postgres_storage.h"

#include <utility>

#include "common/postgres/postgres_lane.h"
#include "common/postgres/postgres_tables.h"

namespace egalaxyd::postgres {

Result<std::unique_ptr<Storage>> openPostgresStorage(const DatabaseAccess& access,
                                                     std::string_view lane,
                                                     const StorageLimits& limits,
                                                     DatabaseSight& sight) {
  auto opened = Lane::open(access, lane, sight);
  if (!opened) return opened.error();
  return std::unique_ptr<Storage>(std::make_unique<PostgresStorage>(std::move(*opened), limits));
}

}  // namespace egalaxyd::postgres
