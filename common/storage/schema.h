// The database file's shape, and how an older one becomes today's.
#pragma once

#include <filesystem>

#include "common/base/result.h"
#include "common/storage/sqlite_handle.h"

namespace egalaxyd {

/// The folder in the state folder that is the workers', for SQLite's files alone; the rest is the
/// master's.
inline constexpr const char* kDatabaseFolder = "db";
/// The database's name in the state folder.
inline constexpr const char* kDatabaseFile = "db/egalaxyd.db";

/// `PRAGMA user_version` of a file that this program reads and writes.
inline constexpr int kSchemaVersion = 5;

/// Makes `file` (mode 0600) where it is missing, brings it to kSchemaVersion as a whole or not at
/// all, folds the write-ahead log into it and closes it. Waits for no lock (kBusy). Refuses a file
/// of a newer version (kInvalid). Never as another account than the workers': SQLite believes the
/// journal that it finds beside the file.
Result<void> migrateStorage(const std::filesystem::path& file);

/// The file's version, 0 for an empty one; kIo for a newer one than this program knows, and
/// where a table cannot be read.
Result<int> checkSchemaVersion(SqliteConnection& connection, const std::filesystem::path& file);

}  // namespace egalaxyd
