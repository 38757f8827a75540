// The storages that keep the same contract.
#pragma once

#include <memory>

#include "tests/support/faulty_storage.h"
#include "tests/support/memory_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {

struct Engine {
  const char* name;
  std::unique_ptr<Storage> (*make)(const TempDir& dir, const StorageLimits& limits);
};

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

}  // namespace egalaxyd
