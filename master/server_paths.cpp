#include "master/server_paths.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "common/errno_error.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string firstOf(const std::string& list) { return list.substr(0, list.find(':')); }

bool isAbsolute(const std::string& path) { return !path.empty() && path.front() == '/'; }

Result<fs::path> stateDir(const PathEnvironment& environment, uid_t uid) {
  if (!environment.stateDirectory.empty()) return fs::path(firstOf(environment.stateDirectory));
  if (uid == 0) return fs::path("/var/lib/egalaxyd");
  if (isAbsolute(environment.xdgStateHome)) return fs::path(environment.xdgStateHome) / "egalaxyd";
  if (isAbsolute(environment.home)) return fs::path(environment.home) / ".local/state/egalaxyd";
  return Error{ErrorCode::kInvalid,
               "no folder for the server's state: set HOME, server.state_dir or --state-dir"};
}

fs::path runtimeDir(const PathEnvironment& environment, uid_t uid, const fs::path& state) {
  if (!environment.runtimeDirectory.empty()) return firstOf(environment.runtimeDirectory);
  if (uid == 0) return "/run/egalaxyd";
  if (isAbsolute(environment.xdgRuntimeDir)) {
    return fs::path(environment.xdgRuntimeDir) / "egalaxyd";
  }
  return state / "run";
}

}  // namespace

PathEnvironment PathEnvironment::ofProcess() {
  return {variable("STATE_DIRECTORY"), variable("RUNTIME_DIRECTORY"), variable("XDG_STATE_HOME"),
          variable("XDG_RUNTIME_DIR"), variable("HOME")};
}

Result<ServerPaths> serverPaths(const PathEnvironment& environment, uid_t uid,
                                const fs::path& configuredState,
                                const fs::path& configuredRuntime) {
  ServerPaths paths{configuredState, configuredRuntime};
  if (paths.state.empty()) {
    auto state = stateDir(environment, uid);
    if (!state) return state.error();
    paths.state = std::move(*state);
  }
  if (paths.runtime.empty()) paths.runtime = runtimeDir(environment, uid, paths.state);
  return paths;
}

Result<void> makeServerFolder(const fs::path& dir, const std::optional<Account>& owner) {
  std::error_code error;
  if (fs::is_directory(dir, error)) return {};
  if (dir.has_parent_path()) fs::create_directories(dir.parent_path(), error);
  if (error) return errnoError("make folder " + dir.parent_path().string(), error.value());
  if (::mkdir(dir.c_str(), 0750) != 0) {
    const int why = errno;
    if (why == EEXIST && fs::is_directory(dir, error)) return {};  // another start was faster
    if (why == EEXIST) {
      return Error{ErrorCode::kInvalid, dir.string() + " is no folder: move it away"};
    }
    return errnoError("make folder " + dir.string(), why);
  }
  if (owner && ::chown(dir.c_str(), owner->uid, owner->gid) != 0) {
    return errnoError("give folder " + dir.string() + " to " + owner->user, errno);
  }
  return {};
}

Result<void> makeServerPaths(const ServerPaths& paths, const std::optional<Account>& owner) {
  if (auto made = makeServerFolder(paths.state, owner); !made) return made;
  return makeServerFolder(paths.runtime, owner);
}

}  // namespace egalaxyd
