#include "common/content/old_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/errno_error.h"
#include "common/system/log.h"

namespace egalaxyd {
namespace {

bool isSame(const struct stat& a, const struct stat& b) {
  const auto same = [](const timespec& x, const timespec& y) {
    return x.tv_sec == y.tv_sec && x.tv_nsec == y.tv_nsec;
  };
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         same(a.st_mtim, b.st_mtim) && same(a.st_ctim, b.st_ctim);
}

}  // namespace

Result<void> OldFile::open(int folder, const std::string& name) {
  sum_ = Sha256();
  size_ = 0;
  file_.reset(
      ::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file_ && errno == ENOENT) return {};
  if (!file_ || ::fstat(file_.get(), &status_) != 0) {
    return errnoError("keep the old content of " + logQuote(name), errno);
  }
  return {};
}

Result<std::string> OldFile::read() {
  // What the file grew by since is seen by isStillSo().
  const std::uint64_t left = static_cast<std::uint64_t>(status_.st_size) - size_;
  std::string part(std::min<std::uint64_t>(left, kContentPart), '\0');
  std::size_t filled = 0;
  while (filled < part.size()) {
    const ssize_t got = ::read(file_.get(), part.data() + filled, part.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoError("read the old content", errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  part.resize(filled);
  sum_.add(part);
  size_ += filled;
  return part;
}

std::string OldFile::sha256() { return sum_.hex(); }

WallTime OldFile::written() const { return WallTime(std::chrono::seconds(status_.st_mtim.tv_sec)); }

bool OldFile::isStillSo(int folder, const std::string& name) const {
  struct stat now {};
  const bool isThere = ::fstatat(folder, name.c_str(), &now, AT_SYMLINK_NOFOLLOW) == 0;
  return isThere == static_cast<bool>(file_) && (!isThere || isSame(now, status_));
}

}  // namespace egalaxyd
