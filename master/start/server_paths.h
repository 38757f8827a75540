// Where state and run-time files live, and making those folders.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// What the environment says about folders; an unset variable is "".
struct PathEnvironment {
  std::string stateDirectory{};    ///< $STATE_DIRECTORY, of systemd: may name several, split by ':'
  std::string runtimeDirectory{};  ///< $RUNTIME_DIRECTORY, likewise
  std::string xdgStateHome{};
  std::string xdgRuntimeDir{};
  std::string home{};

  static PathEnvironment ofProcess();
};

struct ServerPaths {
  std::filesystem::path state;
  std::filesystem::path runtime;
};

/// What was configured wins; then the environment decides, then `uid`. Relative XDG folders do not
/// count, as their specification wants. Fails when nothing says where state should live. Pure.
Result<ServerPaths> serverPaths(const PathEnvironment& environment, uid_t uid,
                                const std::filesystem::path& configuredState,
                                const std::filesystem::path& configuredRuntime);

/// Makes what is missing: the two folders with mode 0750, folders on the way to them with 0755.
/// Both are the master's. Without `workers`, existing folders stay as they are. Where the workers
/// have an account of their own, nobody but the master may write to the two, and the workers' group
/// may pass; what that account owned, of an older layout or of a master that ran as it, becomes the
/// master's, and so do the certificates in it. kPermission where everybody may write to one that is
/// not the master's.
Result<void> makeServerPaths(const ServerPaths& paths, const std::optional<Account>& workers);

/// The same for one of them, which may have been removed since.
Result<void> makeServerFolder(const std::filesystem::path& folder,
                              const std::optional<Account>& workers);

}  // namespace egalaxyd
