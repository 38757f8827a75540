// The database file's shape, and how an older one becomes today's.
#pragma once

#include <filesystem>
#include <optional>

#include "common/privilege.h"
#include "common/result.h"
#include "common/storage/sqlite_handle.h"

namespace egalaxyd {

/// The database's name in the state folder.
inline constexpr const char* kDatabaseFile = "egalaxyd.db";

/// `PRAGMA user_version` of a file that this program reads and writes.
inline constexpr int kSchemaVersion = 5;

/// Makes `file` (mode 0600, given to `owner` if there is one) where it is missing, brings it to
/// kSchemaVersion as a whole or not at all, folds the write-ahead log into it and closes it.
/// Waits for no lock (kBusy). Refuses a file of a newer version (kInvalid). Master only, before it
/// forks.
Result<void> migrateStorage(const std::filesystem::path& file,
                            const std::optional<Account>& owner = std::nullopt);

/// The file's version, 0 for an empty one; kInvalid for a newer one than this program knows.
Result<int> checkSchemaVersion(SqliteConnection& connection, const std::filesystem::path& file);

}  // namespace egalaxyd
