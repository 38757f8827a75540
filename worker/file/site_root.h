// Opening files below a folder, with the kernel as the guard of its borders.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "common/config.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace egalaxyd {

/// Whether a call may wait for a disk or a network file system.
enum class Waiting {
  kNever,    ///< on the loop: what is not in memory is kBusy
  kAllowed,  ///< in the pool
};

/// A regular file, open for reading, or a folder, which may be an O_PATH descriptor. `status` was
/// taken from the descriptor. Nothing else is ever read or kept open.
struct OpenFile {
  UniqueFd fd;
  struct stat status {};

  bool isFolder() const { return S_ISDIR(status.st_mode); }
  std::uint64_t size() const { return static_cast<std::uint64_t>(status.st_size); }
};

/// Opens an absolute path, links followed. Errors as SiteRoot::open.
Result<OpenFile> openFile(const std::filesystem::path& path, Waiting waiting);

/// Holds its folder open from before the fork: renaming the folder later changes nothing until the
/// next reload. Immutable; any thread.
class SiteRoot {
 public:
  /// Fails when `path` is not a folder that this process may enter.
  static Result<SiteRoot> openAt(const std::filesystem::path& path, SymlinkPolicy symlinks);

  /// `relative` is normalised and has no leading slash; "" is the folder itself. Errors:
  /// kNotFound (also what is neither file nor folder), kPermission (also a link that the policy
  /// refuses), kBusy (kNever: ask again from the pool; kAllowed: the file is locked or the tree
  /// is being renamed), kNoSpace (out of descriptors or memory), kIo.
  Result<OpenFile> open(std::string_view relative, Waiting waiting) const;

 private:
  SiteRoot(UniqueFd folder, SymlinkPolicy symlinks)
      : folder_(std::move(folder)), symlinks_(symlinks) {}
  Result<OpenFile> openThroughLinks(const std::string& relative) const;

  UniqueFd folder_;
  SymlinkPolicy symlinks_;
};

}  // namespace egalaxyd
