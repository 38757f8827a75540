// From a single host's SQLite database into PostgreSQL, and back.
#pragma once

#include <filesystem>
#include <string_view>

#include "common/cluster/database_engine.h"
#include "common/postgres/postgres_handle.h"

namespace egalaxyd::postgres {

/// See DatabaseEngine::copyFrom(). `source` names the file among all hosts.
Result<CopiedRows> copyFromSqlite(Connection& db, const std::filesystem::path& file,
                                  std::string_view source, bool merge, UploadFolders& folders);
/// See DatabaseEngine::copyTo().
Result<CopiedRows> copyToSqlite(Connection& db, const std::filesystem::path& file);

}  // namespace egalaxyd::postgres
