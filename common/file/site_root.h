// Opens files below a folder; the kernel (openat2, RESOLVE_BENEATH) keeps requests inside it.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/config/config.h"
#include "common/file/private_files.h"
#include "common/file/real_path.h"

namespace egalaxyd {

/// Whether a call may wait for a disk or a network file system.
enum class Waiting {
  kNever,    ///< on the loop: what is not in memory is kBusy
  kAllowed,  ///< in the pool
};

/// How much of an examined file is kept, to be sent.
inline constexpr std::size_t kHeadBytes = 16 * 1024;

/// A regular file, open for reading, or a folder, which may be an O_PATH descriptor; nothing else
/// is ever read or kept open. `status` was taken from the descriptor.
struct OpenFile {
  UniqueFd fd;
  struct stat status {};
  /// The first bytes, at most kHeadBytes, of a file that was examined: the examined bytes are sent.
  std::string head = {};

  bool isFolder() const { return S_ISDIR(status.st_mode); }
  std::uint64_t size() const { return static_cast<std::uint64_t>(status.st_size); }
};

/// Opens an absolute path, links followed. Errors as SiteRoot::open; `keys` as there.
Result<OpenFile> openFile(const std::filesystem::path& path, Waiting waiting,
                          const PrivateFiles* keys = nullptr);

/// Holds its folder open, even if the folder is renamed. Immutable; any thread.
///
/// With `keys` each file is examined when it is opened, and refused are private keys: the files in
/// `keys`, and those in whose content isPrivateKey() finds one; and the server's own files and
/// folders. Every root that is served has `keys`; nullptr is for callers that read files for
/// themselves.
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

  /// The folder's status when it was opened.
  const struct stat& status() const { return status_; }
  /// Its real path then, "" if that is not known.
  const std::string& realPath() const { return real_; }
  /// Whether the folder has been removed since. Never waits.
  bool isRemoved() const;
  /// Whether this account may not enter it any more. Never waits.
  bool isClosed() const;
  /// Whether its path leads to another folder by now, or to none, or it is closed. Waits for the
  /// disk.
  bool isReplaced() const;

 private:
  SiteRoot(std::filesystem::path path, UniqueFd folder, const struct stat& status,
           SymlinkPolicy symlinks, std::shared_ptr<const PrivateFiles> keys)
      : path_(std::move(path)),
        folder_(std::move(folder)),
        status_(status),
        symlinks_(symlinks),
        keys_(std::move(keys)),
        real_(realPathOf(folder_.get()).value_or("")),
        guarded_(symlinks_ == SymlinkPolicy::kFollow || (keys_ && keys_->lieAt(real_)) ? real_
                                                                                       : "") {}
  Result<OpenFile> openThroughLinks(const std::string& relative) const;

  std::filesystem::path path_;
  UniqueFd folder_;
  struct stat status_;
  SymlinkPolicy symlinks_;
  std::shared_ptr<const PrivateFiles> keys_;  ///< nullptr: files are not examined
  std::string real_;
  std::string guarded_;  ///< real_ where files must be known by their paths, else ""
};

}  // namespace egalaxyd
