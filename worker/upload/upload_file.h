// One change of one file, on its way from the first byte to the name. Blocking: never on the loop.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "worker/file/private_files.h"
#include "worker/file/site_root.h"

namespace egalaxyd {

/// Names of files that are not complete begin so; the server neither serves nor accepts such names.
inline constexpr std::string_view kUnfinishedPrefix = ".egalaxyd-";

/// Where an upload goes, and what it may take there.
struct UploadPlace {
  std::shared_ptr<const SiteRoot> root;
  std::string relative;  ///< normalised, without a leading slash; names a file
  std::shared_ptr<const PrivateFiles> neverServed;
  bool createFolders = false;  ///< missing ones; and a deletion removes those that it empties
  std::size_t newFolders = 8;  ///< at most
  std::size_t depth = 32;      ///< folders that uploads may have made lie no deeper
  FreeFloor minFree = {};
  std::uint64_t size = 0;  ///< of the new content, as announced
};

/// The new content lies in a file without a name, on the target's own file system, until publish()
/// gives it one: readers see the old file or the new. The old one stays beside it, under
/// unfinishedName(), until discardOld(), so that takeBack() can undo the change. Destroyed, it
/// leaves nothing of that name. One thread at a time; the destructor touches the disk as well.
///
/// Errors of every call, for the client's answer: kNotFound (the folder is missing), kExists (what
/// has the name is no regular file, or may not be replaced), kInvalid (the name cannot be used, or
/// too many folders would have to be made), kPermission, kNoSpace (also where less than minFree
/// would stay free), kBusy (also where the root was replaced meanwhile), kIo.
class UploadFile {
 public:
  explicit UploadFile(UploadPlace place);
  ~UploadFile();
  UploadFile(const UploadFile&) = delete;
  UploadFile& operator=(const UploadFile&) = delete;

  /// What may be beside the file: for the pending record, in case this process dies.
  const std::string& unfinishedName() const { return unfinished_; }

  /// Whether a file that is there may be replaced or removed; it may, unless this says otherwise.
  void setMayReplace(bool may) { mayReplace_ = may; }
  /// Why it was kInvalid.
  bool wantsTooManyFolders() const { return wantsTooManyFolders_; }

  /// Adds to the new content; the first call opens the folder. Where the file system has no files
  /// without a name (O_TMPFILE) it is kBusy, and needsName() true, until allowName() was called:
  /// the pending record that tells the name must come first.
  Result<void> append(std::string_view bytes);
  bool needsName() const { return needsName_ && !mayName_; }
  void allowName() { mayName_ = true; }
  /// The content is complete: it is on the disk when this returns, with the mode of the file that
  /// it replaces. kBusy where that was changed since the first append().
  Result<void> finish();
  /// Instead of the two above: looks at the file that is to go; kNotFound where there is none.
  Result<void> findExisting();

  /// Whether a file had the name when that was last looked at.
  bool hasOld() const { return hasOld_; }
  /// Reads all of that file for oldSha256().
  Result<void> sumOld();
  /// "" before sumOld(), and where the file had gone or may not be read.
  const std::string& oldSha256() const { return oldSha256_; }

  /// The name changes hands, in one step; whether a file had it before. The folder is not yet on
  /// the disk: that is for the caller, with folder().
  Result<bool> publish();
  /// The file loses its name.
  Result<void> remove();
  /// publish() or remove() was called and not undone.
  bool isPublished() const { return published_; }
  /// Undoes it: the name is as it was. False where that cannot be, because the file system cannot
  /// exchange names (RENAME_EXCHANGE) or fails; then nobody knows which file is there after a
  /// crash.
  [[nodiscard]] bool takeBack();
  bool wasTakenBack() const { return takenBack_; }
  /// The fsync of its folder failed: what is on the disk, only a start after a crash can tell.
  void noteFailedSync() { syncFailed_ = true; }
  bool syncHasFailed() const { return syncFailed_; }
  /// The change will stay. A deletion's empty folders go too.
  void discardOld();
  /// Whether the name still stands for what publish() or remove() left.
  bool isStillSo() const;
  int folder() const { return folder_.get(); }

 private:
  Result<void> open();
  Result<void> checkRoot() const;
  Result<void> orReplaced(Result<void> failed) const;
  Result<void> openFolder();
  Result<void> makeFolders(std::string folder);
  Result<void> makeChain(UniqueFd within, const std::vector<std::string>& names);
  bool folderIsGone() const;
  Result<void> create();
  UniqueFd makeContent(const char* name, int flags) const;
  Result<void> createContent();
  Result<struct stat> statusOfName() const;
  Result<void> linkContent(const std::string& name);
  Result<void> takeName();
  Result<void> exchangeName();
  bool keptIsFile() const;

  const UploadPlace place_;
  const std::string unfinished_;
  UniqueFd folder_;
  UniqueFd content_;
  std::string name_;
  std::uint64_t written_ = 0;
  bool makesFolders_;
  bool mayReplace_ = true;
  bool wantsTooManyFolders_ = false;
  std::optional<mode_t> mode_;  ///< that the content has to have; none yet: of a new file
  bool needsName_ = false;
  bool mayName_ = false;
  bool unfinishedExists_ = false;  ///< something of ours has that name
  bool oldIsKept_ = false;         ///< and it is what had the file's name before
  std::vector<std::pair<UniqueFd, std::string>> made_;  ///< folders, with what they stand in
  bool hasOld_ = false;
  std::string oldSha256_;
  bool wasNew_ = false;  ///< publish() found no file of that name
  bool published_ = false;
  bool takenBack_ = false;
  bool syncFailed_ = false;
};

}  // namespace egalaxyd
