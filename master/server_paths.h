// Where state and run-time files live, and making those folders.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "common/privilege.h"
#include "common/result.h"

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

/// Makes what is missing: the two folders with mode 0750, owned by `owner` if there is one; folders
/// on the way to them with 0755. Existing folders stay as they are.
Result<void> makeServerPaths(const ServerPaths& paths, const std::optional<Account>& owner);

/// The same for one of them, which may have been removed since.
Result<void> makeServerFolder(const std::filesystem::path& folder,
                              const std::optional<Account>& owner);

}  // namespace egalaxyd
