// Opening files below a folder, with the kernel as the guard of its borders.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "common/config.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "worker/file/private_files.h"

namespace egalaxyd {

/// Whether a call may wait for a disk or a network file system.
enum class Waiting {
  kNever,    ///< on the loop: what is not in memory is kBusy
  kAllowed,  ///< in the pool
};

/// A regular file, open for reading, or a folder, which may be an O_PATH descriptor. `status` was
/// taken from the descriptor. Nothing else is ever read or kept open, and no private key: neither
/// what PrivateFiles holds nor what isPrivateKey() sees in the content.
struct OpenFile {
  UniqueFd fd;
  struct stat status {};
  /// A file's first bytes, at most kBodyChunk: those that were looked at are those that are sent.
  std::string head = {};

  bool isFolder() const { return S_ISDIR(status.st_mode); }
  std::uint64_t size() const { return static_cast<std::uint64_t>(status.st_size); }
};

/// Opens an absolute path, links followed. Errors as SiteRoot::open. `keys` may be nullptr.
Result<OpenFile> openFile(const std::filesystem::path& path, Waiting waiting,
                          const PrivateFiles* keys = nullptr);

/// Holds its folder open from before the fork: renaming the folder later changes nothing until the
/// next reload. Immutable; any thread.
class SiteRoot {
 public:
  /// Fails when `path` is not a folder that this process may enter.
  static Result<SiteRoot> openAt(const std::filesystem::path& path, SymlinkPolicy symlinks,
                                 std::shared_ptr<const PrivateFiles> keys = nullptr);

  /// `relative` is normalised and has no leading slash; "" is the folder itself. Errors:
  /// kNotFound (also what is neither file nor folder), kPermission (also a link that the policy
  /// refuses, and a private key), kBusy (kNever: ask again from the pool; kAllowed: the file is
  /// locked or the tree is being renamed), kNoSpace (out of descriptors or memory), kIo.
  Result<OpenFile> open(std::string_view relative, Waiting waiting) const;

 private:
  SiteRoot(UniqueFd folder, SymlinkPolicy symlinks, std::shared_ptr<const PrivateFiles> keys)
      : folder_(std::move(folder)), symlinks_(symlinks), keys_(std::move(keys)) {}
  Result<OpenFile> openThroughLinks(const std::string& relative) const;

  UniqueFd folder_;
  SymlinkPolicy symlinks_;
  std::shared_ptr<const PrivateFiles> keys_;  ///< nullptr: none are known
};

}  // namespace egalaxyd
