#include "common/system/server_folders.h"

#include "common/base/environment.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFolder = "egalaxyd";

std::string firstOf(const std::string& list) { return list.substr(0, list.find(':')); }

}  // namespace

PathEnvironment PathEnvironment::ofProcess() {
  return {environmentVariable("STATE_DIRECTORY"), environmentVariable("RUNTIME_DIRECTORY"),
          environmentVariable("XDG_STATE_HOME"), environmentVariable("XDG_RUNTIME_DIR"),
          environmentVariable("HOME")};
}

std::vector<fs::path> stateFolders(const PathEnvironment& environment, uid_t uid) {
  std::vector<fs::path> folders;
  if (!environment.stateDirectory.empty()) folders.push_back(firstOf(environment.stateDirectory));
  if (uid == 0) {
    folders.push_back(fs::path("/var/lib") / kFolder);
    return folders;
  }
  const fs::path xdg = environment.xdgStateHome;
  const fs::path home = environment.home;
  if (xdg.is_absolute()) folders.push_back(xdg / kFolder);
  if (home.is_absolute()) folders.push_back(home / ".local/state" / kFolder);
  return folders;
}

std::vector<fs::path> runtimeFolders(const PathEnvironment& environment, uid_t uid,
                                     const std::vector<fs::path>& states) {
  std::vector<fs::path> folders;
  if (!environment.runtimeDirectory.empty()) {
    folders.push_back(firstOf(environment.runtimeDirectory));
  }
  if (uid == 0) {
    folders.push_back(fs::path("/run") / kFolder);
    return folders;
  }
  const fs::path xdg = environment.xdgRuntimeDir;
  if (xdg.is_absolute()) folders.push_back(xdg / kFolder);
  for (const fs::path& state : states) folders.push_back(state / "run");
  return folders;
}

}  // namespace egalaxyd
