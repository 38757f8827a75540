// One change of one file, on its way from the first byte to the name. Blocking: never on the loop.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"
#include "worker/file/private_files.h"
#include "worker/file/site_root.h"

namespace egalaxyd {

/// Names of files that are not complete begin so; the server neither serves nor accepts such names.
inline constexpr std::string_view kUnfinishedPrefix = ".egalaxyd-";

/// Where an upload goes.
struct UploadPlace {
  std::shared_ptr<const SiteRoot> root;
  std::string relative;  ///< normalised, without a leading slash; names a file
  std::shared_ptr<const PrivateFiles> neverServed;
  bool createFolders = false;
};

/// The new content lies in a file without a name, on the target's own file system, until publish()
/// gives it one: readers see the old file or the new. Destroyed before that, it leaves nothing.
/// One thread at a time; the destructor of what is not published touches the disk as well.
///
/// Errors of every call, for the client's answer: kNotFound (the folder is missing), kExists (what
/// has the name is no regular file), kInvalid (the name cannot be used), kPermission, kNoSpace,
/// kBusy, kIo.
class UploadFile {
 public:
  explicit UploadFile(UploadPlace place) : place_(std::move(place)) {}
  ~UploadFile();
  UploadFile(const UploadFile&) = delete;
  UploadFile& operator=(const UploadFile&) = delete;

  /// Adds to the new content; the first call opens the folder.
  Result<void> append(std::string_view bytes);
  /// The content is complete: it is on the disk when this returns, with the mode of the file that
  /// it replaces.
  Result<void> finish();
  /// Instead of the two above: looks at the file that is to go; kNotFound where there is none.
  Result<void> findVictim();

  /// Whether finish() or findVictim() saw a file with the name.
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
  bool isPublished() const { return published_; }
  int folder() const { return folder_.get(); }

 private:
  Result<void> open();
  Result<void> openFolder(const std::string& folder);
  Result<void> makeFolder(const std::string& folder);
  Result<void> createContent();
  Result<struct stat> statusOfName() const;

  UploadPlace place_;
  UniqueFd folder_;
  UniqueFd content_;
  std::string name_;
  std::string unfinished_;  ///< the content's name on its way; "": it has none
  std::vector<std::pair<UniqueFd, std::string>> made_;  ///< folders, with what they stand in
  bool hasOld_ = false;
  std::string oldSha256_;
  bool published_ = false;
};

}  // namespace egalaxyd
