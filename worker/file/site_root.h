// Opening files below a folder, with the kernel as the guard of its borders.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/config/config.h"
#include "worker/file/private_files.h"

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
  /// Of a file that was examined the first bytes, at most kBodyChunk: what was looked at is sent.
  std::string head = {};

  bool isFolder() const { return S_ISDIR(status.st_mode); }
  std::uint64_t size() const { return static_cast<std::uint64_t>(status.st_size); }
};

/// Opens an absolute path, links followed. Errors as SiteRoot::open; `keys` as there.
Result<OpenFile> openFile(const std::filesystem::path& path, Waiting waiting,
                          const PrivateFiles* keys = nullptr);

/// Holds its folder open, whatever becomes of the folder's name. Immutable; any thread.
///
/// With `keys` each file is examined when it is opened, and a private key is refused: what they
/// hold, and what isPrivateKey() sees in the content. Whatever is opened to be served has them;
/// nullptr is for those who look at files for themselves.
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

  /// The folder's, from when it was opened.
  const struct stat& status() const { return status_; }
  /// Whether the folder was removed since. Never waits.
  bool isRemoved() const;
  /// Whether its path leads to another folder by now, or to none. Waits for the disk.
  bool isReplaced() const;

 private:
  SiteRoot(std::filesystem::path path, UniqueFd folder, const struct stat& status,
           SymlinkPolicy symlinks, std::shared_ptr<const PrivateFiles> keys)
      : path_(std::move(path)),
        folder_(std::move(folder)),
        status_(status),
        symlinks_(symlinks),
        keys_(std::move(keys)) {}
  Result<OpenFile> openThroughLinks(const std::string& relative) const;

  std::filesystem::path path_;
  UniqueFd folder_;
  struct stat status_;
  SymlinkPolicy symlinks_;
  std::shared_ptr<const PrivateFiles> keys_;  ///< nullptr: none are known
};

}  // namespace egalaxyd
