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
#include "common/sha256.h"
#include "worker/upload/crash_point.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMaxName = 255;

std::string unfinishedName() {
  static std::atomic<std::uint64_t> next{0};
  return fmt::format("{}{}-{}", kUnfinishedPrefix, ::getpid(), next.fetch_add(1));
}

/// A folder that may be entered, but not read, cannot be synced.
bool canSync(const UniqueFd& folder) { return (::fcntl(folder.get(), F_GETFL) & O_PATH) == 0; }

Error failed(std::string_view doing, std::string_view name, int error) {
  return errnoError(fmt::format("{} {}", doing, logQuote(name)), error);
}

}  // namespace

UploadFile::~UploadFile() {
  if (!unfinished_.empty()) ::unlinkat(folder_.get(), unfinished_.c_str(), 0);
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
  if (hasOld_) ::fchmod(content_.get(), old->st_mode & 0777);
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
  if (::fsync(outer.get()) != 0) return failed("fsync folder", parent, errno);
  made_.emplace_back(std::move(outer), name);
  return {};
}

/// The lock tells recovery that somebody is still at it; it goes with the process.
Result<void> UploadFile::createContent() {
  content_ = UniqueFd(::openat(folder_.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
  if (!content_ && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    std::string name = unfinishedName();
    content_ = UniqueFd(
        ::openat(folder_.get(), name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
    if (content_) unfinished_ = std::move(name);
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
  if (unfinished_.empty()) {
    std::string name = unfinishedName();
    const std::string self = fmt::format("/proc/self/fd/{}", content_.get());
    if (::linkat(AT_FDCWD, self.c_str(), folder_.get(), name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return failed("name", place_.relative, errno);
    }
    unfinished_ = std::move(name);
  }
  const auto before = statusOfName();
  if (!before && before.error().code != ErrorCode::kNotFound) return before.error();
  if (::renameat(folder_.get(), unfinished_.c_str(), folder_.get(), name_.c_str()) != 0) {
    return failed("rename to", place_.relative, errno);
  }
  unfinished_.clear();
  published_ = true;
  crashPoint("renamed");
  return before.ok();
}

Result<void> UploadFile::remove() {
  if (const auto before = statusOfName(); !before) return before.error();
  if (::unlinkat(folder_.get(), name_.c_str(), 0) != 0) {
    return failed("delete", place_.relative, errno);
  }
  published_ = true;
  crashPoint("renamed");
  return {};
}

}  // namespace egalaxyd
