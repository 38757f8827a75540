// From [storage] to what reaches the database.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/cluster/database_engine.h"
#include "common/config/config.h"
#include "common/system/sandbox.h"

namespace egalaxyd {

/// The first line of a regular file that nobody but its owner may read or write, who is this
/// process's account or root. "" for no file. The message names the file.
Result<std::string> readDatabasePassword(const std::filesystem::path& file);

/// As the master has completed it: with its secret, and addresses in its url.
DatabaseAccess databaseAccess(const StorageConfig& storage);

/// Files that a url names, for certificates and keys of the connection; absolute ones alone.
std::vector<std::filesystem::path> databaseFiles(std::string_view url);

/// Adds what a process needs that connects to the database of `storage`; nothing for SQLite. The
/// engine was loaded before.
void allowDatabase(SandboxRules& rules, const StorageConfig& storage);

}  // namespace egalaxyd
