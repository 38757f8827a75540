#include "master/launcher/script_check.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/unique_fd.h"
#include "common/shared/home_places.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// A rename anywhere in the system may disturb the resolution of "..": openat2 gives EAGAIN then.
constexpr int kMaxDisturbances = 100;

/// openat2(2), which glibc does not wrap; O_PATH. Empty with errno.
UniqueFd openPath(int folder, const std::string& path, std::uint64_t resolve) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  for (int disturbances = 0; disturbances < kMaxDisturbances;) {
    const long fd = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno == EAGAIN) ++disturbances;
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return {};
}

/// Without links; empty where nobody can tell.
fs::path realPath(int fd) {
  std::array<char, PATH_MAX> path;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size < 0 ? fs::path()
                  : fs::path(std::string_view(path.data(), static_cast<std::size_t>(size)));
}

bool isBelow(const fs::path& path, const fs::path& root) {
  const auto [end, rest] = std::ranges::mismatch(root, path);
  return end == root.end() && rest != path.end();
}

/// As a site's symlinks = "inside": an absolute link that leads back into the root, which the
/// kernel does not follow beneath it, is followed by hand.
UniqueFd openInside(int root, const std::string& script) {
  UniqueFd file = openPath(root, script, RESOLVE_BENEATH);
  if (file || errno != EXDEV) return file;
  file = openPath(root, script, 0);
  if (!file) return file;
  const fs::path real = realPath(root);
  const fs::path target = realPath(file.get());
  errno = EXDEV;
  if (!isBelow(target, real)) return {};
  return openPath(root, target.lexically_relative(real).string(),
                  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

Error refused(const std::string& why) { return {ErrorCode::kPermission, "refused: " + why}; }

bool everybodyMayWrite(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && (status.st_mode & S_IWOTH) != 0;
}

/// The script itself, its folder, and those between it and the root. `root` is empty where there
/// is none.
Result<void> isOurs(int file, const fs::path& root) {
  const fs::path real = realPath(file);
  if (real.empty()) return refused("without /proc nobody knows where it is");
  if (everybodyMayWrite(real)) return refused("everybody may write to it");
  fs::path folder = real.parent_path();
  for (;; folder = folder.parent_path()) {
    if (everybodyMayWrite(folder)) return refused("everybody may write to " + folder.string());
    if (root.empty() || !isBelow(folder, root)) return {};
  }
}

/// That a user's launcher runs nothing that others have put into the user's folder.
Result<void> isOwn(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return errnoError("look at it", errno);
  if (status.st_uid != ::geteuid()) return refused("it belongs to another account");
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) return refused("others may write to it");
  return {};
}

Result<void> isExecutable(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return errnoError("look at it", errno);
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::kNotFound, "it is no regular file"};
  if (::faccessat(file, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
    struct statvfs system {};
    if (::fstatvfs(file, &system) == 0 && (system.f_flag & ST_NOEXEC) != 0) {
      return refused("its file system is mounted noexec");
    }
    return refused("this account may not execute it");
  }
  return {};
}

struct Place {
  std::string root;
  std::string script;  ///< below it
};

Place placeOf(const ScriptMount& mount, std::string_view script) {
  if (!mount.anyUser) return {mount.root, std::string(script)};
  const std::size_t slash = script.find('/');
  return {placeOfUser(mount.root, script.substr(0, slash)), std::string(script.substr(slash + 1))};
}

/// The program of the script's first line; nullopt: there is none, or it cannot be read.
std::optional<std::string> interpreterOf(const std::string& path) {
  std::array<char, 256> start;  // as much as the kernel looks at
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const ssize_t got = file ? ::read(file.get(), start.data(), start.size()) : 0;
  std::string_view line(start.data(), got < 0 ? 0 : static_cast<std::size_t>(got));
  if (!line.starts_with("#!")) return std::nullopt;
  line = line.substr(2, line.find('\n') - 2);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return std::string(line.substr(0, line.find_first_of(" \t")));
}

}  // namespace

Result<std::string> findScript(const ScriptMount& mount, std::string_view script) {
  if (script.empty()) {
    const UniqueFd program = openPath(AT_FDCWD, mount.program, 0);
    if (!program) return errnoError("open " + mount.program, errno);
    if (auto fit = isExecutable(program.get()); !fit) return fit.error();
    if (auto ours = isOurs(program.get(), {}); !ours) return ours.error();
    return mount.program;
  }
  const Place place = placeOf(mount, script);
  const UniqueFd root(::open(place.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return errnoError("open folder " + place.root, errno);
  const std::string& relative = place.script;
  const UniqueFd file =
      mount.followsLinks ? openPath(root.get(), relative, 0) : openInside(root.get(), relative);
  if (!file && errno == EXDEV) return Error{ErrorCode::kNotFound, "it lies outside the root"};
  if (!file) return errnoError("open it", errno);
  if (auto fit = isExecutable(file.get()); !fit) return fit.error();
  if (auto ours = isOurs(file.get(), realPath(root.get())); !ours) return ours.error();
  if (mount.ownOnly) {
    if (auto own = isOwn(file.get()); !own) return own.error();
  }
  return (fs::path(place.root) / relative).string();
}

Error whyNotRun(const std::string& path, int errnoValue) {
  const auto interpreter = interpreterOf(path);
  if (errnoValue == ENOENT && ::access(path.c_str(), F_OK) != 0) {
    return errnoError("execute it", errnoValue);
  }
  if (errnoValue == ENOEXEC) {
    return {ErrorCode::kIo, "cannot run: it is no program and does not begin with \"#!\""};
  }
  if (errnoValue == ENOENT && !interpreter) {
    return {ErrorCode::kIo, "cannot run: the program's own loader is missing"};
  }
  if (errnoValue == ENOENT && interpreter->ends_with('\r')) {
    return {ErrorCode::kIo, "cannot run: its first line ends in CR LF, not in LF"};
  }
  const std::string named = interpreter ? " \"" + printable(*interpreter) + "\"" : "";
  if (errnoValue == ENOENT) return {ErrorCode::kIo, "cannot run: no interpreter" + named};
  const Error error =
      errnoError("cannot run" + (named.empty() ? "" : " it by" + named), errnoValue);
  return {error.code == ErrorCode::kNoSpace ? error.code : ErrorCode::kIo, error.message};
}

}  // namespace egalaxyd
