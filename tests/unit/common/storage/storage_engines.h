// The storages that keep the same contract.
#pragma once

#include <memory>

#include "tests/support/faulty_storage.h"
#include "tests/support/memory_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"
#ifdef EGALAXYD_TEST_POSTGRES  // a program of its own
#include "common/cluster/own_sight.h"
#include "common/postgres/postgres_storage.h"
#include "tests/support/postgres_server.h"
#endif

namespace egalaxyd {

struct Engine {
  const char* name;
  std::unique_ptr<Storage> (*make)(const TempDir& dir, const StorageLimits& limits);
};

#ifdef EGALAXYD_TEST_POSTGRES
inline std::unique_ptr<Storage> freshPostgres(const StorageLimits& limits = {}) {
  static OwnSight sight;
  PostgresServer& server = PostgresServer::shared();
  return must(
      postgres::openPostgresStorage(server.access(server.makeDatabase()), "0", limits, sight));
}

inline const Engine kEngines[] = {
    {"Postgres", [](const TempDir&, const StorageLimits& limits) { return freshPostgres(limits); }},
};
#else
inline const Engine kEngines[] = {
    {"Sqlite", [](const TempDir& dir,
                  const StorageLimits& limits) { return migratedSqlite(dir / "s.db", limits); }},
    {"Memory",
     [](const TempDir&, const StorageLimits& limits) { return makeMemoryStorage(limits); }},
    {"FaultlessFaulty",
     [](const TempDir&, const StorageLimits& limits) -> std::unique_ptr<Storage> {
       return std::make_unique<FaultyStorage>(makeMemoryStorage(limits), 0);
     }},
};
#endif

}  // namespace egalaxyd
