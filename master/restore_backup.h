// egalaxyd --restore: what `egalaxyctl backup` saved, back in a state folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/system/privilege.h"

namespace egalaxyd {

struct RestoreOrder {
  std::filesystem::path archive;
  const ServerConfig& server;      ///< its state folder is filled
  std::optional<Account> workers;  ///< their account, of which db/ will be
  /// What egalaxyd reads, there or not: beside it comes the archive's, with the ending ".restored".
  std::filesystem::path configuration;
  bool force = false;  ///< move what the state folder holds aside
};

/// Fills the state folder, with certificates and database, when the whole archive was read and is
/// right; then writes the configuration. Gives what was done, a line each. In a state folder of
/// another account, root works as that account. kExists: the folder is not empty, or a server uses
/// it; kInvalid: the archive is not whole or right. Blocks; no threads.
Result<std::vector<std::string>> restoreBackup(const RestoreOrder& order);

/// Whether a restore ended in the middle of its work in this state folder: kInvalid, with what to
/// do. What it leaves is no state that a server may start with.
Result<void> noRestoreUnderWay(const std::filesystem::path& stateDir);

}  // namespace egalaxyd
