// The database file's shape, and how an empty one gets it.
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
inline constexpr int kSchemaVersion = 6;
/// The oldest that migrateStorage() brings to it.
inline constexpr int kOldestSchemaVersion = 5;

/// Makes `file` (mode 0600) where it is missing and the tables that it lacks, as a whole or not at
/// all, folds the write-ahead log into it and closes it. Waits for no lock (kBusy). A file of
/// a version that is not known is refused, untouched (kIo). Never as another account than the
/// workers': SQLite believes the journal that it finds beside the file.
Result<void> migrateStorage(const std::filesystem::path& file);

/// From kOldestSchemaVersion to kSchemaVersion, or 0 for an empty file; kIo for any other version,
/// with what to do, and where a table cannot be read.
Result<int> checkSchemaVersion(SqliteConnection& connection, const std::filesystem::path& file);

}  // namespace egalaxyd
