#include "worker/upload/upload_file.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "common/errno_error.h"
#include "common/log.h"
#include "common/random_number.h"
#include "common/sha256.h"
#include "worker/upload/crash_point.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMaxName = 255;

/// Of this process alone: what one that died has left is not in the way.
std::string makeUnfinishedName() {
  static const std::uint64_t process = randomNumber();
  static std::atomic<std::uint64_t> next{0};
  return fmt::format("{}{:016x}-{}", kUnfinishedPrefix, process, next.fetch_add(1));
}

/// renameat2(2) as far as the file system knows the flags; -1 with errno.
int renameWith(int folder, const std::string& from, const std::string& to, unsigned flags) {
  return ::renameat2(folder, from.c_str(), folder, to.c_str(), flags);
}
bool isUnknownFlag(int error) { return error == EINVAL || error == ENOSYS; }

/// A folder that may be entered, but not read, cannot be synced.
bool canSync(const UniqueFd& folder) { return (::fcntl(folder.get(), F_GETFL) & O_PATH) == 0; }

Error failed(std::string_view doing, std::string_view name, int error) {
  return errnoError(fmt::format("{} {}", doing, logQuote(name)), error);
}

}  // namespace

UploadFile::UploadFile(UploadPlace place)
    : place_(std::move(place)), unfinished_(makeUnfinishedName()) {}

UploadFile::~UploadFile() {
  discardOld();
  if (published_) return;
  for (auto made = made_.rbegin(); made != made_.rend(); ++made) {
    ::unlinkat(made->first.get(), made->second.c_str(), AT_REMOVEDIR);
  }
}

Result<void> UploadFile::append(std::string_view bytes) {
  if (!content_) {
    if (auto opened = open(); !opened) return opened;
    if (auto created = createContent(); !created) return created;
    crashPoint("created");
  }
  while (!bytes.empty()) {
    const ssize_t took = ::write(content_.get(), bytes.data(), bytes.size());
    if (took < 0 && errno == EINTR) continue;
    if (took < 0) return failed("write", place_.relative, errno);
    bytes.remove_prefix(static_cast<std::size_t>(took));
  }
  crashPoint("written");
  return {};
}

Result<void> UploadFile::finish() {
  const auto old = statusOfName();
  if (!old && old.error().code != ErrorCode::kNotFound) return old.error();
  hasOld_ = old.ok();
  if (hasOld_ && ::fchmod(content_.get(), old->st_mode & 0777) != 0) {
    return failed("set the mode of", place_.relative, errno);
  }
  if (::fsync(content_.get()) != 0) return failed("fsync", place_.relative, errno);
  crashPoint("synced");
  return {};
}

Result<void> UploadFile::findVictim() {
  if (auto opened = open(); !opened) return opened;
  const auto status = statusOfName();
  if (!status) return status.error();
  hasOld_ = true;
  return {};
}

Result<void> UploadFile::open() {
  const std::size_t slash = place_.relative.rfind('/');
  const bool nested = slash != std::string::npos;
  name_ = nested ? place_.relative.substr(slash + 1) : place_.relative;
  if (name_.empty() || name_.size() > kMaxName || name_.starts_with(kUnfinishedPrefix)) {
    return Error{ErrorCode::kInvalid, "a name that no upload may have"};
  }
  const std::string folder = nested ? place_.relative.substr(0, slash) : "";
  if (auto opened = openFolder(folder); !opened) return opened;
  const auto status = statusOfName();
  if (!status && status.error().code != ErrorCode::kNotFound) return status.error();
  return {};
}

Result<void> UploadFile::openFolder(const std::string& folder) {
  auto opened = place_.root->open(folder, Waiting::kAllowed);
  if (!opened && opened.error().code == ErrorCode::kNotFound && place_.createFolders) {
    if (auto made = makeFolder(folder); !made) return made;
    opened = place_.root->open(folder, Waiting::kAllowed);
  }
  if (!opened) return std::move(opened).error();
  if (!opened->isFolder()) {
    return Error{ErrorCode::kExists, fmt::format("{} is no folder", logQuote(folder))};
  }
  if (!canSync(opened->fd)) return failed("read folder", folder, EACCES);
  folder_ = std::move(opened->fd);
  return {};
}

Result<void> UploadFile::makeFolder(const std::string& folder) {
  if (folder.empty()) return Error{ErrorCode::kNotFound, "the root is gone"};
  const std::size_t slash = folder.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : folder.substr(0, slash);
  const std::string name = slash == std::string::npos ? folder : folder.substr(slash + 1);
  if (name.starts_with(kUnfinishedPrefix)) {
    return Error{ErrorCode::kInvalid, "a name that no folder may have"};
  }
  auto within = place_.root->open(parent, Waiting::kAllowed);
  if (!within && within.error().code == ErrorCode::kNotFound) {
    if (auto made = makeFolder(parent); !made) return made;
    within = place_.root->open(parent, Waiting::kAllowed);
  }
  if (!within) return std::move(within).error();
  if (!within->isFolder()) {
    return Error{ErrorCode::kExists, fmt::format("{} is no folder", logQuote(parent))};
  }
  UniqueFd outer = std::move(within->fd);
  if (!canSync(outer)) return failed("read folder", parent, EACCES);
  if (::mkdirat(outer.get(), name.c_str(), 0777) != 0) {
    if (errno == EEXIST) return {};  // another upload was faster
    return failed("make folder", folder, errno);
  }
  made_.emplace_back(std::move(outer), name);
  if (::fsync(made_.back().first.get()) != 0) return failed("fsync folder", parent, errno);
  return {};
}

/// The lock tells recovery that somebody is still at it; it goes with the process.
Result<void> UploadFile::createContent() {
  content_ = UniqueFd(::openat(folder_.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
  if (!content_ && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    needsName_ = true;
    if (!mayName_) return Error{ErrorCode::kBusy, "the file needs a name that is recorded first"};
    content_ = UniqueFd(::openat(folder_.get(), unfinished_.c_str(),
                                 O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
    unfinishedExists_ = static_cast<bool>(content_);
  }
  if (!content_) return failed("write beside", place_.relative, errno);
  ::flock(content_.get(), LOCK_EX | LOCK_NB);
  return {};
}

/// kNotFound where nothing has the name.
Result<struct stat> UploadFile::statusOfName() const {
  struct stat status {};
  if (::fstatat(folder_.get(), name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return failed("look at", place_.relative, errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kExists, fmt::format("{} is no file", logQuote(place_.relative))};
  }
  if (place_.neverServed->contains(status)) {
    return Error{ErrorCode::kPermission, fmt::format("{} is a key", logQuote(place_.relative))};
  }
  return status;
}

Result<void> UploadFile::sumOld() {
  const UniqueFd old(::openat(folder_.get(), name_.c_str(),
                              O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!old) return {};
  auto sum = sha256OfFile(old.get());
  if (!sum) return std::move(sum).error();
  oldSha256_ = std::move(*sum);
  return {};
}

Result<bool> UploadFile::publish() {
  // Somebody who is no upload may make or remove the file between the look and the change.
  constexpr int kTries = 3;
  Result<void> done;
  for (int tries = 0; tries < kTries; ++tries) {
    const auto before = statusOfName();
    if (!before && before.error().code != ErrorCode::kNotFound) return before.error();
    done = before ? exchangeName() : takeName();
    wasNew_ = !before;
    if (!done &&
        (done.error().code == ErrorCode::kExists || done.error().code == ErrorCode::kNotFound)) {
      continue;
    }
    if (!done) return done.error();
    published_ = true;
    crashPoint("renamed");
    return before.ok();
  }
  return done.error();
}

/// The content has no name yet.
Result<void> UploadFile::linkContent(const std::string& name) {
  const std::string self = fmt::format("/proc/self/fd/{}", content_.get());
  if (::linkat(AT_FDCWD, self.c_str(), folder_.get(), name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return {};
  }
  return failed("name", place_.relative, errno);
}

/// A name that nobody has; kExists.
Result<void> UploadFile::takeName() {
  if (!unfinishedExists_) return linkContent(name_);
  int renamed = renameWith(folder_.get(), unfinished_, name_, RENAME_NOREPLACE);
  if (renamed != 0 && isUnknownFlag(errno)) {
    renamed = renameWith(folder_.get(), unfinished_, name_, 0);
  }
  if (renamed != 0) return failed("rename to", place_.relative, errno);
  unfinishedExists_ = false;
  return {};
}

/// A name that a file has; kNotFound.
Result<void> UploadFile::exchangeName() {
  if (!unfinishedExists_) {
    if (auto linked = linkContent(unfinished_); !linked) return linked;
    unfinishedExists_ = true;
  }
  if (renameWith(folder_.get(), unfinished_, name_, RENAME_EXCHANGE) == 0) {
    oldIsKept_ = true;
    if (keptIsFile()) return {};
    if (renameWith(folder_.get(), unfinished_, name_, RENAME_EXCHANGE) == 0) oldIsKept_ = false;
    return Error{ErrorCode::kInvalid, "what had the name is no file"};
  }
  if (!isUnknownFlag(errno)) return failed("exchange", place_.relative, errno);
  if (renameWith(folder_.get(), unfinished_, name_, 0) != 0) {
    return failed("rename to", place_.relative, errno);
  }
  unfinishedExists_ = false;
  return {};
}

/// It may have become a folder since it was looked at, and that must keep its name.
bool UploadFile::keptIsFile() const {
  struct stat kept {};
  return ::fstatat(folder_.get(), unfinished_.c_str(), &kept, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(kept.st_mode);
}

Result<void> UploadFile::remove() {
  if (const auto before = statusOfName(); !before) return before.error();
  if (renameWith(folder_.get(), name_, unfinished_, 0) != 0) {
    return failed("delete", place_.relative, errno);
  }
  if (!keptIsFile()) {
    renameWith(folder_.get(), unfinished_, name_, 0);
    return Error{ErrorCode::kInvalid, "what had the name is no file"};
  }
  unfinishedExists_ = true;
  oldIsKept_ = true;
  published_ = true;
  crashPoint("renamed");
  return {};
}

bool UploadFile::takeBack() {
  if (!published_) return true;
  int undone = -1;
  if (!content_) {  // a deletion
    undone = oldIsKept_ ? renameWith(folder_.get(), unfinished_, name_, 0) : -1;
    if (undone == 0) unfinishedExists_ = false;
  } else if (oldIsKept_) {
    undone = renameWith(folder_.get(), unfinished_, name_, RENAME_EXCHANGE);
  } else if (wasNew_) {
    undone = ::unlinkat(folder_.get(), name_.c_str(), 0);
  }
  if (undone != 0) return false;
  oldIsKept_ = false;
  published_ = false;
  takenBack_ = true;
  return true;
}

void UploadFile::discardOld() {
  if (unfinishedExists_) ::unlinkat(folder_.get(), unfinished_.c_str(), 0);
  unfinishedExists_ = false;
  oldIsKept_ = false;
}

bool UploadFile::isStillSo() const {
  struct stat named {};
  const bool isThere = ::fstatat(folder_.get(), name_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0;
  if (!content_) return !isThere && errno == ENOENT;
  struct stat ours {};
  return isThere && ::fstat(content_.get(), &ours) == 0 && ours.st_dev == named.st_dev &&
         ours.st_ino == named.st_ino;
}

}  // namespace egalaxyd
