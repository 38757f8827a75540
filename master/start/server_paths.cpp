#include "master/start/server_paths.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "common/tls/certificate_files.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

Error notMade(const fs::path& dir, int why) {
  Error error = errnoError("make folder " + dir.string(), why);
  error.message +=
      "; name one that this account can write with --state-dir, and for run-time files "
      "with --runtime-dir";
  return error;
}

Result<void> makeFolder(const fs::path& dir) {
  std::error_code error;
  if (dir.has_parent_path()) fs::create_directories(dir.parent_path(), error);
  if (error) return notMade(dir, error.value());
  if (::mkdir(dir.c_str(), 0750) == 0) return {};
  const int why = errno;
  if (why == EEXIST && fs::is_directory(dir, error)) return {};  // another start was faster
  if (why == EEXIST) {
    return Error{ErrorCode::kInvalid, dir.string() + " is no folder: move it away"};
  }
  return notMade(dir, why);
}

/// In a folder that the workers' account could change, it could make a root master read or write
/// other files.
Result<void> keepFromWorkers(const fs::path& dir, const Account& workers) {
  const UniqueFd fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return errnoError("open " + dir.string(), errno);
  const bool isOurs = info.st_uid == 0 || info.st_uid == workers.uid;
  if ((info.st_mode & S_IWOTH) != 0 && (!isOurs || (info.st_mode & S_ISVTX) != 0)) {
    return Error{ErrorCode::kPermission, dir.string() +
                                             ": everybody may write to it; name another "
                                             "folder, or take that right away"};
  }
  if (!isOurs) return {};  // another account's folder: root was told to use it, so it is trusted
  mode_t mode = info.st_mode & 07777U & ~static_cast<mode_t>(S_IWGRP | S_IWOTH);
  gid_t group = info.st_gid;
  if ((mode & S_IXOTH) == 0) {  // then they pass as its group
    group = workers.gid;
    mode |= S_IXGRP;
  }
  if ((info.st_uid != 0 || group != info.st_gid) && ::fchown(fd.get(), 0, group) != 0) {
    return errnoError("take " + dir.string(), errno);
  }
  if (mode != (info.st_mode & 07777U) && ::fchmod(fd.get(), mode) != 0) {
    return errnoError("chmod " + dir.string(), errno);
  }
  return {};
}

/// A file with a second name (hard link) is not one that we made: it is left alone.
void takeFile(int folder, const char* name, uid_t from) {
  const UniqueFd fd(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return;
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1 || info.st_uid != from) return;
  if (::fchown(fd.get(), 0, 0) != 0) {
    spdlog::warn("{}",
                 errnoError(std::string("take the certificate's file ") + name, errno).message);
  }
}

/// Certificates that a master made while it ran as the workers' account become root's. The state
/// folder around them is root's already.
Result<void> takeCertificates(const fs::path& folder, const Account& workers) {
  struct stat info {};
  if (::lstat(folder.c_str(), &info) != 0 || info.st_uid != workers.uid) return {};
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    return Error{ErrorCode::kPermission, fmt::format("{} is no folder and belongs to {}: move it "
                                                     "away",
                                                     folder.string(), workers.user)};
  }
  if (::fchown(fd.get(), 0, 0) != 0 || ::fchmod(fd.get(), 0700) != 0) {
    return errnoError("take " + folder.string(), errno);
  }
  std::error_code unreadable;
  for (const auto& entry : fs::directory_iterator(folder, unreadable)) {
    takeFile(fd.get(), entry.path().filename().c_str(), workers.uid);
  }
  spdlog::warn("{} belonged to {}, the workers' account, and is root's now", folder.string(),
               workers.user);
  return {};
}

}  // namespace

Result<ServerPaths> serverPaths(const PathEnvironment& environment, uid_t uid,
                                const fs::path& configuredState,
                                const fs::path& configuredRuntime) {
  ServerPaths paths{configuredState, configuredRuntime};
  if (paths.state.empty()) {
    const auto states = stateFolders(environment, uid);
    if (states.empty()) {
      return Error{ErrorCode::kInvalid,
                   "no folder for the server's state: set HOME, server.state_dir or --state-dir"};
    }
    paths.state = states.front();
  }
  if (paths.runtime.empty()) {
    paths.runtime = runtimeFolders(environment, uid, {paths.state}).front();
  }
  return paths;
}

Result<void> makeServerFolder(const fs::path& dir, const std::optional<Account>& workers) {
  std::error_code error;
  if (!fs::is_directory(dir, error)) {
    if (auto made = makeFolder(dir); !made) return made;
  }
  return workers ? keepFromWorkers(dir, *workers) : Result<void>();
}

Result<void> makeServerPaths(const ServerPaths& paths, const std::optional<Account>& workers) {
  if (auto made = makeServerFolder(paths.state, workers); !made) return made;
  if (workers) {
    if (auto taken = takeCertificates(paths.state / kCertificatesFolder, *workers); !taken) {
      return taken;
    }
  }
  return makeServerFolder(paths.runtime, controlOwner(workers));
}

}  // namespace egalaxyd
