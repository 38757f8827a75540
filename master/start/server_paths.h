// Where state and run-time files live, and making those folders.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/system/privilege.h"
#include "common/system/server_folders.h"

namespace egalaxyd {

struct ServerPaths {
  std::filesystem::path state;
  std::filesystem::path runtime;
};

/// What was configured wins; then stateFolders() and runtimeFolders() decide. Fails when nothing
/// says where state should live. Pure.
Result<ServerPaths> serverPaths(const PathEnvironment& environment, uid_t uid,
                                const std::filesystem::path& configuredState,
                                const std::filesystem::path& configuredRuntime);

/// Makes what is missing: the two folders with mode 0750, folders on the way to them with 0755.
/// Both belong to the master. Without `workers`, existing folders stay as they are. Where the
/// workers have an account of their own, the two become writable for the master alone, and
/// searchable for the workers' group; folders and certificates that the workers' account owned (an
/// older layout, or a master that ran as it) become the master's. kPermission where a folder of
/// another account is writable for everybody.
Result<void> makeServerPaths(const ServerPaths& paths, const std::optional<Account>& workers);

/// The same for one of them, which may have been removed since.
Result<void> makeServerFolder(const std::filesystem::path& folder,
                              const std::optional<Account>& workers);

}  // namespace egalaxyd
