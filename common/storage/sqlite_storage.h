// The storage that egalaxyd runs on: one SQLite file, write-ahead log, durable at every commit.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string_view>

#include "common/storage/storage.h"

namespace egalaxyd {

/// Of the library, e.g. "3.40.1".
std::string_view sqliteVersion();

/// Opens a file that migrateStorage() has prepared. Several processes may have it open at once;
/// none may hold it across a fork. A write waits up to `busyTimeout` for its turn, then answers
/// kBusy: zero for a thread that must not wait.
Result<std::unique_ptr<Storage>> openSqliteStorage(const std::filesystem::path& file,
                                                   std::chrono::milliseconds busyTimeout,
                                                   const StorageLimits& limits = {});

}  // namespace egalaxyd
