#include "worker/upload/upload_file.h"

#include <fcntl.h>
#include <sched.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/random_number.h"
#include "common/base/sha256.h"
#include "common/content/upload_mark.h"
#include "common/storage/storage.h"
#include "common/system/log.h"
#include "worker/upload/empty_folders.h"
#include "worker/upload/free_floor.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMaxName = 255;
/// A deletion may remove an empty folder between the check and the opening.
constexpr int kFolderTries = 5;

/// Unique to this process, so that leftovers of one that died are not in the way.
std::string makeUnfinishedName() {
  static const std::uint64_t process = randomNumber();
  static std::atomic<std::uint64_t> next{0};
  return fmt::format("{}{:016x}-{}", kUnfinishedPrefix, process, next.fetch_add(1));
}

/// renameat2(2); -1 with errno. Not every file system knows all flags: see isUnknownFlag().
int renameWith(int folder, const std::string& from, const std::string& to, unsigned flags) {
  return ::renameat2(folder, from.c_str(), folder, to.c_str(), flags);
}
bool isUnknownFlag(int error) { return error == EINVAL || error == ENOSYS; }

/// A folder that may be entered, but not read, cannot be synced.
bool canSync(const UniqueFd& folder) { return (::fcntl(folder.get(), F_GETFL) & O_PATH) == 0; }

/// "a/b" of "a/b/c", "" of "c".
std::string_view folderOf(std::string_view relative) {
  const std::size_t slash = relative.rfind('/');
  return slash == std::string_view::npos ? "" : relative.substr(0, slash);
}

Error notToReplace(std::string_view name) {
  return {ErrorCode::kExists, fmt::format("{} is somebody else's", logQuote(name))};
}

Error serversOwn(std::string_view name) {
  return {ErrorCode::kPermission, fmt::format("{} is the server's own", logQuote(name))};
}

Error failed(std::string_view doing, std::string_view name, int error) {
  return errnoError(fmt::format("{} {}", doing, logQuote(name)), error);
}

/// Of one folder, among all processes and threads that put copies into it.
class FolderLock {
 public:
  explicit FolderLock(int folder) : folder_(folder) {
    while (::flock(folder_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~FolderLock() { ::flock(folder_, LOCK_UN); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  const int folder_;
};

mode_t modeOf(const struct stat& status) { return status.st_mode & 0777; }

/// Sets the umask of this thread to 0, so that new files get exactly the mode they are made with:
/// the sandbox forbids changing a mode. If a container denies the thread a umask of its own
/// (CLONE_FS), that of the process still applies.
class NoUmask {
 public:
  NoUmask() {
    thread_local const bool isOwn = ::unshare(CLONE_FS) == 0;
    if (isOwn) before_ = ::umask(0);
  }
  ~NoUmask() {
    if (before_) ::umask(*before_);
  }
  NoUmask(const NoUmask&) = delete;
  NoUmask& operator=(const NoUmask&) = delete;

 private:
  std::optional<mode_t> before_;
};

/// mkdir() with the mode of the folder around it; false with errno.
bool makeFolderLike(int within, const std::string& name) {
  struct stat around {};
  if (::fstat(within, &around) != 0) return false;
  const NoUmask exact;
  return ::mkdirat(within, name.c_str(), (around.st_mode & 0777) | 0700) == 0;
}

}  // namespace

UploadFile::UploadFile(UploadPlace place)
    : place_(std::move(place)),
      unfinished_(makeUnfinishedName()),
      makesFolders_(place_.createFolders) {}

UploadFile::~UploadFile() {
  discardOld();
  if (published_) return;
  for (auto made = made_.rbegin(); made != made_.rend(); ++made) {
    ::unlinkat(made->first.get(), made->second.c_str(), AT_REMOVEDIR);
  }
}

Result<void> UploadFile::begin() {
  if (folder_) return {};
  auto opened = open();
  if (opened) return opened;
  folder_.reset();
  return orReplaced(std::move(opened));
}

Result<void> UploadFile::append(std::string_view bytes) {
  if (auto begun = begin(); !begun) return begun;
  if (!content_) {
    if (auto created = create(); !created) return orReplaced(std::move(created));
  }
  // Each time, since others write too.
  const std::uint64_t left = place_.size - std::min(place_.size, written_);
  if (auto room = checkFloorOf(content_.get(), place_.minFree, left, 1); !room) return room;
  written_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t took = ::write(content_.get(), bytes.data(), bytes.size());
    if (took < 0 && errno == EINTR) continue;
    if (took < 0) return failed("write", place_.relative, errno);
    bytes.remove_prefix(static_cast<std::size_t>(took));
  }
  return {};
}

Result<void> UploadFile::finish() {
  const auto old = statusOfName();
  if (!old && old.error().code != ErrorCode::kNotFound) return old.error();
  hasOld_ = old.ok();
  if (hasOld_ && !mayReplace_) return notToReplace(place_.relative);
  if (hasOld_ && modeOf(*old) != mode_) {
    return Error{ErrorCode::kBusy,
                 fmt::format("the mode of {} was changed", logQuote(place_.relative))};
  }
  if (::fsync(content_.get()) != 0) return failed("fsync", place_.relative, errno);
  return {};
}

Result<std::string> UploadFile::read(std::uint64_t offset, std::size_t most) const {
  std::string bytes(most, '\0');
  std::size_t filled = 0;
  while (filled < most) {
    const ssize_t got = ::pread(content_.get(), bytes.data() + filled, most - filled,
                                static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read", place_.relative, errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

Result<void> UploadFile::findExisting() {
  makesFolders_ = false;
  if (auto opened = open(); !opened) return orReplaced(std::move(opened));
  const auto status = statusOfName();
  return status ? Result<void>() : status.error();
}

Result<void> UploadFile::open() {
  const std::size_t slash = place_.relative.rfind('/');
  name_ = slash == std::string::npos ? place_.relative : place_.relative.substr(slash + 1);
  if (name_.empty() || name_.size() > kMaxName || name_.starts_with(kUnfinishedPrefix)) {
    return Error{ErrorCode::kInvalid, "a name that no upload may have"};
  }
  if (auto opened = openFolder(); !opened) return opened;
  if (isServers(folder_, name_)) return serversOwn(place_.relative);
  const auto status = statusOfName();
  if (!status && status.error().code != ErrorCode::kNotFound) return status.error();
  hasOld_ = status.ok();
  if (hasOld_) mode_ = modeOf(*status);
  return hasOld_ && !mayReplace_ ? notToReplace(place_.relative) : Result<void>();
}

/// Whether `name` in `folder` is the server's own, there already or not.
bool UploadFile::isServers(const UniqueFd& folder, std::string_view name) const {
  return place_.neverServed->areServers(folder.get(), name, place_.root->realPath());
}

Result<void> UploadFile::openFolder() {
  const std::string folder(folderOf(place_.relative));
  auto opened = place_.root->open(folder, Waiting::kAllowed);
  const auto isMissing = [&] { return !opened && opened.error().code == ErrorCode::kNotFound; };
  for (int tries = 0; makesFolders_ && isMissing() && tries < kFolderTries; ++tries) {
    auto made = makeFolders(folder);
    if (!made && made.error().code != ErrorCode::kNotFound) return made;
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

/// Makes all folders of `folder` that are missing.
Result<void> UploadFile::makeFolders(std::string folder) {
  std::vector<std::string> missing;  // the innermost first
  Result<OpenFile> outer = Error{ErrorCode::kNotFound, "the root is gone"};
  while (!outer && outer.error().code == ErrorCode::kNotFound && !folder.empty()) {
    missing.push_back(folder.substr(folder.rfind('/') + 1));
    if (missing.back().starts_with(kUnfinishedPrefix)) {
      return Error{ErrorCode::kInvalid, "a name that no folder may have"};
    }
    if (missing.size() > place_.newFolders) {
      wantsTooManyFolders_ = true;
      return Error{ErrorCode::kInvalid, "too many folders would have to be made"};
    }
    folder.resize(folderOf(folder).size());
    outer = place_.root->open(folder, Waiting::kAllowed);
  }
  if (!outer) return std::move(outer).error();
  if (!outer->isFolder()) {
    return Error{ErrorCode::kExists, fmt::format("{} is no folder", logQuote(folder))};
  }
  if (!canSync(outer->fd)) return failed("read folder", folder, EACCES);
  const std::uint64_t entries = missing.size() + 1;
  auto room =
      checkFloorOf(outer->fd.get(), place_.minFree, place_.size + entries * kBlockBytes, entries);
  if (!room) return room;
  return makeChain(std::move(outer->fd), {missing.rbegin(), missing.rend()});
}

/// Makes each of `names` within the one before, the first in `within`. They are on the disk when
/// this returns. The innermost is synced first: a file system with a journal then writes all of
/// them, so the other fsyncs have nothing left to do.
Result<void> UploadFile::makeChain(UniqueFd within, const std::vector<std::string>& names) {
  const std::size_t before = made_.size();
  Result<void> done;
  for (const std::string& name : names) {
    if (isServers(within, name)) {
      done = serversOwn(name);
      break;
    }
    const bool isNew = makeFolderLike(within.get(), name);
    if (!isNew && errno != EEXIST) {
      done = failed("make folder", name, errno);
      break;
    }
    UniqueFd next(
        ::openat(within.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    const int error = next ? 0 : errno;
    if (isNew) made_.emplace_back(std::move(within), name);
    if (error == ELOOP || error == ENOTDIR) break;  // perhaps a link now: the caller looks again
    if (error != 0) {
      done = failed("open folder", name, error);
      break;
    }
    within = std::move(next);
  }
  for (std::size_t last = made_.size(); done && last > before; --last) {
    if (::fsync(made_[last - 1].first.get()) != 0) done = failed("fsync folder of", name_, errno);
  }
  return done;
}

/// A deletion may remove a folder that an upload has opened, as long as it is empty.
bool UploadFile::folderIsGone() const {
  struct stat status {};
  return ::fstat(folder_.get(), &status) == 0 && status.st_nlink == 0;
}

Result<void> UploadFile::create() {
  auto created = createContent();
  for (int tries = 0; !created && folderIsGone() && tries < kFolderTries; ++tries) {
    if (auto opened = openFolder(); !opened) return opened;
    created = createContent();
  }
  return created;
}

/// Whoever may write to the folder may write to the file, so that people whose folder it is can
/// edit what others uploaded. Its group follows the folder's setgid bit.
mode_t UploadFile::modeOfNew() const {
  if (place_.mode != 0) return place_.mode;
  struct stat folder {};
  if (::fstat(folder_.get(), &folder) != 0) return 0644;
  return (folder.st_mode & 0666) | 0600;
}

UniqueFd UploadFile::makeContent(const char* name, int flags) const {
  const NoUmask exact;
  return UniqueFd(
      ::openat(folder_.get(), name, flags | O_RDWR | O_CLOEXEC, mode_.value_or(modeOfNew())));
}

/// The flock tells recovery that this is still being written; it ends with the process.
Result<void> UploadFile::createContent() {
  content_ = makeContent(".", O_TMPFILE);
  // In a folder that was removed, ext4 says EPERM.
  if (!content_ && (errno == ENOENT || errno == EPERM) && folderIsGone()) {
    return failed("open", "folder", ENOENT);
  }
  if (!content_ && errno == EACCES && ::faccessat(folder_.get(), ".", W_OK, AT_EACCESS) == 0) {
    return Error{ErrorCode::kBusy,
                 fmt::format("the sandbox allows no writing where {} would be, which new workers "
                             "change",
                             logQuote(place_.relative))};
  }
  if (!content_ && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    needsName_ = true;
    if (!mayName_) return Error{ErrorCode::kBusy, "the file needs a name that is recorded first"};
    content_ = makeContent(unfinished_.c_str(), O_CREAT | O_EXCL);
    unfinishedExists_ = static_cast<bool>(content_);
  }
  struct stat made {};
  if (!content_ || ::fstat(content_.get(), &made) != 0) {
    return failed("write beside", place_.relative, errno);
  }
  if (!mode_) mode_ = modeOf(made);
  ::flock(content_.get(), LOCK_EX | LOCK_NB);
  return {};
}

/// kNotFound if nothing has the name.
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
  if (place_.neverServed->isServers(status)) return serversOwn(place_.relative);
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

/// An upload to the root of an earlier deploy must not be acknowledged: nobody would find it.
Result<void> UploadFile::checkRoot() const {
  if (!place_.root->isReplaced()) return {};
  return Error{ErrorCode::kBusy, "the root was replaced meanwhile"};
}

/// If the root was replaced meanwhile, a failure in the old one is only temporary (kBusy).
Result<void> UploadFile::orReplaced(Result<void> failed) const {
  if (needsName() || !place_.root->isReplaced()) return failed;
  return checkRoot();
}

Result<bool> UploadFile::publish() {
  if (auto checked = checkRoot(); !checked) return checked.error();
  // Another program may make or remove the file between the check and the change.
  constexpr int kTries = 5;
  Result<void> done;
  for (int tries = 0; tries < kTries; ++tries) {
    const auto before = statusOfName();
    if (!before && before.error().code != ErrorCode::kNotFound) return before.error();
    if (before && !mayReplace_) return notToReplace(place_.relative);
    if (!before && makesFolders_ && folderIsGone()) {
      if (auto opened = openFolder(); !opened) return opened.error();
    }
    done = before ? exchangeName() : takeName();
    wasNew_ = !before;
    if (!done &&
        (done.error().code == ErrorCode::kExists || done.error().code == ErrorCode::kNotFound)) {
      continue;
    }
    if (!done) return done.error();
    published_ = true;
    return before.ok();
  }
  return done.error();
}

/// Links the unnamed content to `name` (linkat).
Result<void> UploadFile::linkContent(const std::string& name) {
  const std::string self = fmt::format("/proc/self/fd/{}", content_.get());
  if (::linkat(AT_FDCWD, self.c_str(), folder_.get(), name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return {};
  }
  return failed("name", place_.relative, errno);
}

/// Publishes to a free name; kExists if it is not free.
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

/// Publishes to a name that a file has, and keeps the old file if it can; kNotFound if none has it.
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

/// It may have become a folder since the check, and a folder must keep its name.
bool UploadFile::keptIsFile() const {
  struct stat kept {};
  return ::fstatat(folder_.get(), unfinished_.c_str(), &kept, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(kept.st_mode);
}

Result<void> UploadFile::remove() {
  if (auto checked = checkRoot(); !checked) return checked;
  if (const auto before = statusOfName(); !before) return before.error();
  if (!mayReplace_) return notToReplace(place_.relative);
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
  return {};
}

Result<bool> UploadFile::publishCopy(std::int64_t upload) {
  if (auto checked = checkRoot(); !checked) return checked.error();
  if (auto marked = markUpload(content_.get(), upload); !marked) return marked.error();
  auto placed = placeCopy(upload);
  for (int tries = 0; !placed && folderIsGone() && tries < kFolderTries; ++tries) {
    if (auto opened = openFolder(); !opened) return opened.error();
    placed = placeCopy(upload);
  }
  return placed;
}

Result<bool> UploadFile::placeCopy(std::int64_t upload) {
  const FolderLock lock(folder_.get());
  const auto before = statusOfName();
  if (!before && before.error().code != ErrorCode::kNotFound) return before.error();
  if (before && uploadOf(folder_.get(), name_) >= upload) return false;
  if (!unfinishedExists_) {
    if (auto linked = linkContent(before ? unfinished_ : name_); !linked) return linked.error();
    unfinishedExists_ = before.ok();
  }
  if (unfinishedExists_ && renameWith(folder_.get(), unfinished_, name_, 0) != 0) {
    return failed("rename to", place_.relative, errno);
  }
  unfinishedExists_ = false;
  published_ = true;
  return true;
}

Result<bool> UploadFile::removeCopy(std::int64_t upload) {
  makesFolders_ = false;
  auto opened = begin();
  if (!opened && opened.error().code == ErrorCode::kNotFound) return false;
  if (!opened) return opened.error();
  {
    const FolderLock lock(folder_.get());
    if (!statusOfName() || uploadOf(folder_.get(), name_) >= upload) return false;
    if (::unlinkat(folder_.get(), name_.c_str(), 0) != 0) {
      return failed("delete", place_.relative, errno);
    }
  }
  if (place_.createFolders) {
    removeEmptyFolders(*place_.root, folderOf(place_.relative), place_.depth);
  }
  return true;
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
  const bool isDeletion = unfinishedExists_ && published_ && !content_;
  unfinishedExists_ = false;
  oldIsKept_ = false;
  if (isDeletion && place_.createFolders) {
    removeEmptyFolders(*place_.root, folderOf(place_.relative), place_.depth);
  }
}

bool UploadFile::isStillSo() const {
  if (!content_ && folderIsGone()) {
    const auto now = place_.root->open(place_.relative, Waiting::kAllowed);
    return !now && now.error().code == ErrorCode::kNotFound;
  }
  struct stat named {};
  const bool isThere = ::fstatat(folder_.get(), name_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0;
  if (!content_) return !isThere && errno == ENOENT;
  struct stat ours {};
  return isThere && ::fstat(content_.get(), &ours) == 0 && ours.st_dev == named.st_dev &&
         ours.st_ino == named.st_ino;
}

}  // namespace egalaxyd
