// A copy of the database while others write to it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

/// Beside the database; there only while a backup is made, or after one that was killed.
inline constexpr const char* kDatabaseCopy = "backup.db";

/// The database `file` as it is at this moment, by SQLite's backup interface, in a file without a
/// name, beside it before: one whole database, no journal. It has passed SQLite's quick check.
/// Writers go on meanwhile. kNoSpace, before anything is written, when the disk has not got room
/// for it; kIo when the database is damaged. Blocking; never as another account than the workers'.
Result<UniqueFd> copyDatabase(const std::filesystem::path& file);

/// Whether `file` is a whole database (integrity_check) of a version that this program knows. kIo,
/// in words. Likewise.
Result<void> checkDatabase(const std::filesystem::path& file);

}  // namespace egalaxyd
