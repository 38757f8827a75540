#include "common/system/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "common/base/errno_error.h"
#include "common/base/regular_file.h"

namespace egalaxyd {
namespace {

/// " (process 123)", or "" when the file does not say.
std::string holder(int fd) {
  std::array<char, 32> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size() - 1, 0);
  if (got <= 0) return "";
  std::string pid(text.data(), static_cast<std::size_t>(got));
  pid.resize(std::min(pid.find_first_not_of("0123456789"), pid.size()));
  return pid.empty() ? "" : " (process " + pid + ")";
}

}  // namespace

Result<InstanceLock> InstanceLock::take(const std::filesystem::path& stateDir) {
  const std::string path = (stateDir / "egalaxyd.lock").string();
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640));
  if (!fd && errno == ELOOP) {
    return Error{ErrorCode::kInvalid, path + ": " + notRegular(S_IFLNK).message};
  }
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    Error error = errnoError("open " + path, errno);
    error.message += "; name another folder with --state-dir, or let this account write there";
    return error;
  }
  if (const auto suitable = isFileOfOneName(info); !suitable) {
    return Error{ErrorCode::kInvalid, path + ": " + suitable.error().message};
  }
  // Root's server takes it from one that ran as the workers' account, which could hold the lock.
  if (::geteuid() == 0 && info.st_uid != 0 && ::fchown(fd.get(), 0, 0) != 0) {
    return errnoError("take " + path, errno);
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errnoError("lock " + path, errno);
    return Error{ErrorCode::kExists, "another egalaxyd" + holder(fd.get()) +
                                         " already runs with the state in " + stateDir.string() +
                                         "; stop it, or give this one another --state-dir"};
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) != 0 ||
      ::pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return errnoError("write " + path, errno);
  }
  return InstanceLock(std::move(fd));
}

}  // namespace egalaxyd
