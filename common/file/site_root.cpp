#include "common/file/site_root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "common/base/errno_error.h"
#include "common/file/once_per_file.h"
#include "common/file/private_key.h"
#include "common/file/real_path.h"
#include "common/system/log.h"

namespace egalaxyd {
namespace {

// A rename anywhere in the system may disturb the resolution of "..": openat2 gives EAGAIN then.
constexpr int kMaxDisturbances = 100;

/// openat2(2), which glibc does not wrap; -1 with errno.
int openAt2(int folder, const char* path, int flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.resolve = resolve;
  for (int disturbances = 0;;) {
    const long fd = ::syscall(SYS_openat2, folder, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno == EINTR) continue;
    if (errno != EAGAIN || (resolve & RESOLVE_CACHED) != 0) return -1;
    if (++disturbances > kMaxDisturbances) return -1;
  }
}

struct Attempt {
  OpenFile file;
  int error = 0;  ///< an errno; 0: `file` is open
};

/// The errno that stands for a refused private key.
constexpr int kPrivateKey = EKEYREJECTED;
/// Likewise for what is the server's own.
constexpr int kServerFile = EKEYREVOKED;

bool isRefused(int error) { return error == kPrivateKey || error == kServerFile; }
std::string_view reasonOf(int error) {
  return error == kPrivateKey ? "a private key" : "the server's own";
}

/// The files that are refused below one root.
struct Guard {
  const PrivateFiles* files = nullptr;  ///< nullptr: none are, and none is examined
  std::string_view root = {};           ///< its real path, as PrivateFiles::areServers() wants it
};

/// Reads until file.head has `wanted` bytes or the file ends; returns 0 or an errno.
int readHead(OpenFile& file, std::size_t wanted, Waiting waiting) {
  std::size_t have = file.head.size();
  file.head.resize(wanted);
  while (have < wanted) {
    const iovec part{file.head.data() + have, wanted - have};
    const int flags = waiting == Waiting::kNever ? RWF_NOWAIT : 0;
    const ssize_t got = ::preadv2(file.fd.get(), &part, 1, static_cast<off_t>(have), flags);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EOPNOTSUPP ? EAGAIN : errno;
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  file.head.resize(have);
  if (have < wanted) file.status.st_size = static_cast<off_t>(have);  // the file shrank meanwhile
  return 0;
}

/// 0 if the file may be served, otherwise an errno, such as kPrivateKey.
int examine(OpenFile& file, std::string_view path, const PrivateFiles& keys, Waiting waiting) {
  if (keys.knows(file.status)) return kPrivateKey;
  if (keys.haveName(path.substr(path.rfind('/') + 1))) {
    if (waiting == Waiting::kNever) return EAGAIN;
    if (keys.contains(file.status)) return kPrivateKey;
  }
  const auto upTo = [&](std::size_t most) {
    return static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), most));
  };
  if (const int error = readHead(file, upTo(kHeadBytes), waiting); error != 0) return error;
  if (upTo(kKeySearchBytes) > file.head.size() && mayBecomePrivateKey(file.head)) {
    if (const int error = readHead(file, upTo(kKeySearchBytes), waiting); error != 0) return error;
  }
  if (isPrivateKey(file.head)) return kPrivateKey;
  if (file.head.size() > kHeadBytes) file.head = file.head.substr(0, kHeadBytes);
  return 0;
}

void warnOfRefused(std::string_view path, const struct stat& status, int error) {
  static OncePerFile told;
  if (!told.isFirst(status)) return;
  spdlog::warn("{} is {} and is not served: move it out of what is served", logQuote(path),
               reasonOf(error));
}

/// O_NONBLOCK: opening a FIFO does not wait for its writer; it is closed when fstat() shows it.
Attempt tryOpen(int folder, const std::string& path, std::uint64_t resolve, Waiting waiting,
                Guard guard) {
  if (path.find('\0') != std::string::npos) return {{}, ENOENT};
  if (waiting == Waiting::kNever) resolve |= RESOLVE_CACHED;
  OpenFile file{UniqueFd(openAt2(folder, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY, resolve))};
  // Perhaps a folder that may be entered but not listed.
  if (!file.fd && errno == EACCES) {
    file.fd = UniqueFd(openAt2(folder, path.c_str(), O_PATH | O_DIRECTORY, resolve));
    if (!file.fd && errno == ENOTDIR) errno = EACCES;
  }
  if (!file.fd && (errno == ENXIO || errno == ENODEV)) return {{}, ENOENT};  // a socket, a device
  if (!file.fd || ::fstat(file.fd.get(), &file.status) != 0) return {{}, errno};
  if (!file.isFolder() && !S_ISREG(file.status.st_mode)) return {{}, ENOENT};
  if (guard.files == nullptr) return {std::move(file)};
  int error = guard.files->areServers(file.fd.get(), file.status, guard.root) ? kServerFile : 0;
  if (error == 0 && !file.isFolder()) error = examine(file, path, *guard.files, waiting);
  if (isRefused(error)) warnOfRefused(path, file.status, error);
  if (error != 0) return {{}, error};
  return {std::move(file)};
}

/// EXDEV: the kernel says it of any absolute link, even one that leads back inside, and finding
/// that out may wait. EINVAL: kernels before 5.12 do not know RESOLVE_CACHED.
bool isForThePool(int error) { return error == EAGAIN || error == EXDEV || error == EINVAL; }

Result<OpenFile> resultOf(Attempt attempt, std::string_view path, Waiting waiting) {
  if (attempt.error == 0) return std::move(attempt.file);
  if (waiting == Waiting::kNever && isForThePool(attempt.error)) {
    return Error{ErrorCode::kBusy, "not in memory"};
  }
  if (isRefused(attempt.error)) {
    return Error{ErrorCode::kPermission,
                 fmt::format("open {}: it is {}", logQuote(path), reasonOf(attempt.error))};
  }
  return errnoError("open " + logQuote(path), attempt.error);
}

std::uint64_t resolveFlags(SymlinkPolicy symlinks) {
  switch (symlinks) {
    case SymlinkPolicy::kDeny:
      return RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    case SymlinkPolicy::kInside:
      return RESOLVE_BENEATH;
    case SymlinkPolicy::kFollow:
      break;
  }
  return RESOLVE_NO_MAGICLINKS;
}

}  // namespace

Result<OpenFile> openFile(const std::filesystem::path& path, Waiting waiting,
                          const PrivateFiles* keys) {
  const std::string folder = path.parent_path().string();
  return resultOf(tryOpen(AT_FDCWD, path.string(), RESOLVE_NO_MAGICLINKS, waiting, {keys, folder}),
                  path.string(), waiting);
}

Result<SiteRoot> SiteRoot::openAt(const std::filesystem::path& path, SymlinkPolicy symlinks,
                                  std::shared_ptr<const PrivateFiles> keys) {
  UniqueFd folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat status {};
  if (!folder || ::fstat(folder.get(), &status) != 0) {
    return errnoError("open folder " + path.string(), errno);
  }
  if (::faccessat(folder.get(), ".", X_OK, AT_EACCESS) != 0) {
    return errnoError("enter folder " + path.string(), errno);
  }
  return SiteRoot(path, std::move(folder), status, symlinks, std::move(keys));
}

bool SiteRoot::isRemoved() const {
  struct stat status {};
  return ::fstat(folder_.get(), &status) == 0 && status.st_nlink == 0;
}

bool SiteRoot::isClosed() const {
  return ::faccessat(folder_.get(), ".", X_OK, AT_EACCESS) != 0 && errno == EACCES;
}

bool SiteRoot::isReplaced() const {
  struct stat now {};
  if (::stat(path_.c_str(), &now) != 0) {
    return errno == ENOENT || errno == ENOTDIR || errno == EACCES;
  }
  return now.st_dev != status_.st_dev || now.st_ino != status_.st_ino || isClosed();
}

Result<OpenFile> SiteRoot::open(std::string_view relative, Waiting waiting) const {
  const std::string path(relative.empty() ? "." : relative);
  Attempt attempt =
      tryOpen(folder_.get(), path, resolveFlags(symlinks_), waiting, {keys_.get(), guarded_});
  const bool leaves = attempt.error == EXDEV && symlinks_ == SymlinkPolicy::kInside;
  if (leaves && waiting == Waiting::kAllowed) return openThroughLinks(path);
  return resultOf(std::move(attempt), path, waiting);
}

/// Finds out where the links lead, then opens that place without following any link: even if the
/// tree changes in between, the kernel keeps the result inside the root.
Result<OpenFile> SiteRoot::openThroughLinks(const std::string& relative) const {
  const UniqueFd target(openAt2(folder_.get(), relative.c_str(), O_PATH, RESOLVE_NO_MAGICLINKS));
  if (!target) return resultOf({{}, errno}, relative, Waiting::kAllowed);
  const auto root = realPathOf(folder_.get());
  const auto place = realPathOf(target.get());
  const auto inside = root && place ? pathBelow(*root, *place) : std::nullopt;
  if (!inside) return resultOf({{}, EXDEV}, relative, Waiting::kAllowed);
  return resultOf(tryOpen(folder_.get(), *inside, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
                          Waiting::kAllowed, {keys_.get(), guarded_}),
                  relative, Waiting::kAllowed);
}

}  // namespace egalaxyd
