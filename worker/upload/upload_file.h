// Changes one file, from its first byte until it has its name. Blocking: never on the loop.
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
#include "common/content/upload_place.h"

namespace egalaxyd {

/// Prefix of the names of incomplete files; the server neither serves nor accepts such names.
inline constexpr std::string_view kUnfinishedPrefix = ".egalaxyd-";

/// The new content is in a file without a name (O_TMPFILE), on the target's file system, until
/// publish() gives it one: readers see the old file or the new one. The old file stays beside it,
/// under unfinishedName(), until discardOld(), so that takeBack() can undo the change. The
/// destructor removes what has that name, so it touches the disk as well. One thread at a time.
///
/// Errors of every call, for the client's answer: kNotFound (the folder is missing), kExists (what
/// has the name is no regular file, or may not be replaced), kInvalid (the name cannot be used, or
/// too many folders would have to be made), kPermission, kNoSpace (also if less than minFree would
/// stay free), kBusy (also if the root was replaced meanwhile), kIo.
class UploadFile {
 public:
  explicit UploadFile(UploadPlace place);
  ~UploadFile();
  UploadFile(const UploadFile&) = delete;
  UploadFile& operator=(const UploadFile&) = delete;

  /// The name that may be beside the file. The pending record tells it, in case this process dies.
  const std::string& unfinishedName() const { return unfinished_; }

  /// Sets whether an existing file may be replaced or removed; by default it may.
  void setMayReplace(bool may) { mayReplace_ = may; }
  /// Whether the reason for kInvalid is that too many folders would have to be made.
  bool wantsTooManyFolders() const { return wantsTooManyFolders_; }

  /// Opens the folder, if it is not open yet; append() does as well.
  Result<void> begin();
  /// Appends to the new content. Without O_TMPFILE in the file
  /// system the content needs a name: kBusy, with needsName() true, until allowName() is called,
  /// since the pending record that tells the name must come first.
  Result<void> append(std::string_view bytes);
  bool needsName() const { return needsName_ && !mayName_; }
  void allowName() { mayName_ = true; }
  /// Completes the content: when this returns it is on the disk (fsync), with the mode of the file
  /// that it replaces. kBusy if that mode was changed since the first append().
  Result<void> finish();
  /// For a deletion, instead of the two above: looks for the file; kNotFound if there is none.
  Result<void> findExisting();

  /// Some of what was appended, for whoever stores it elsewhere too: fewer than `most` bytes at the
  /// end. Beside finish(), too.
  Result<std::string> read(std::uint64_t offset, std::size_t most) const;

  /// Whether a file had the name at the last look.
  bool hasOld() const { return hasOld_; }
  /// Reads all of that file for oldSha256().
  Result<void> sumOld();
  /// "" before sumOld(), and if the file was gone or could not be opened.
  const std::string& oldSha256() const { return oldSha256_; }

  /// Gives the content the name, in one step; returns whether a file had it before. The folder is
  /// not yet on the disk: the caller has to fsync folder().
  Result<bool> publish();
  /// Takes the name off the file, which stays as unfinishedName() until discardOld().
  Result<void> remove();

  // Instead of these two, where the file is a copy of what a database holds. Others may do the same
  // for the same name at once: what a later upload (of a higher id) has left stays.

  /// Gives the content the name, marked as of that upload. False: a later one has it.
  Result<bool> publishCopy(std::int64_t upload);
  /// Removes the file that an upload before this one, a deletion, has left; and the folders that it
  /// empties. False: there is none.
  Result<bool> removeCopy(std::int64_t upload);

  /// publish() or remove() was called and not undone.
  bool isPublished() const { return published_; }
  /// Undoes it, so that the name is as before. False if the file system has no RENAME_EXCHANGE, or
  /// fails; then it is not known which file a crash leaves.
  [[nodiscard]] bool takeBack();
  bool wasTakenBack() const { return takenBack_; }
  /// The fsync of its folder failed: what is on the disk shows only after a crash.
  void noteFailedSync() { syncFailed_ = true; }
  bool syncHasFailed() const { return syncFailed_; }
  /// Makes the change final: removes the old file, and the folders that a deletion has emptied.
  void discardOld();
  /// Whether the name is still as publish() or remove() left it.
  bool isStillSo() const;
  int folder() const { return folder_.get(); }
  /// Of the file within it; both once it is open.
  const std::string& name() const { return name_; }

 private:
  Result<void> open();
  Result<void> checkRoot() const;
  Result<void> orReplaced(Result<void> failed) const;
  bool isServers(const UniqueFd& folder, std::string_view name) const;
  Result<void> openFolder();
  Result<void> makeFolders(std::string folder);
  Result<void> makeChain(UniqueFd within, const std::vector<std::string>& names);
  bool folderIsGone() const;
  Result<void> create();
  UniqueFd makeContent(const char* name, int flags) const;
  mode_t modeOfNew() const;
  Result<void> createContent();
  Result<struct stat> statusOfName() const;
  Result<void> linkContent(const std::string& name);
  Result<void> takeName();
  Result<bool> placeCopy(std::int64_t upload);
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
  std::optional<mode_t> mode_;  ///< that the content must have; nullopt: a new file, not yet made
  bool needsName_ = false;
  bool mayName_ = false;
  bool unfinishedExists_ = false;                       ///< unfinishedName() exists and is ours
  bool oldIsKept_ = false;                              ///< and it is the old file
  std::vector<std::pair<UniqueFd, std::string>> made_;  ///< folders, as parent and name
  bool hasOld_ = false;
  std::string oldSha256_;
  bool wasNew_ = false;  ///< publish() found no file of that name
  bool published_ = false;
  bool takenBack_ = false;
  bool syncFailed_ = false;
};

}  // namespace egalaxyd
