// In which folders a server keeps its state and its run-time files, and egalaxyctl looks for them.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

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

/// Where a server of the account `uid` keeps its state if its configuration does not say: in the
/// first of them. The environment decides, then `uid`. Relative XDG folders do not count, as their
/// specification wants. Empty when nothing says where. Pure, as the next one is.
std::vector<std::filesystem::path> stateFolders(const PathEnvironment& environment, uid_t uid);
/// The same for run-time files of a server whose state is in one of `states`.
std::vector<std::filesystem::path> runtimeFolders(const PathEnvironment& environment, uid_t uid,
                                                  const std::vector<std::filesystem::path>& states);

}  // namespace egalaxyd
