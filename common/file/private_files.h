// Files that no site ever serves, whatever they hold: those that the configuration names as keys,
// and the server's own.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "common/config/config.h"
#include "common/file/server_files.h"

namespace egalaxyd {

/// Filled in the master before the fork, immutable afterwards; any thread.
class PrivateFiles {
 public:
  /// The keys that `config` names, those of the automatic certificates, and the server's files.
  static PrivateFiles of(const Config& config);

  void add(const std::filesystem::path& file);

  /// Whether it is one of the files that had the names when they were added. Never waits. The time
  /// of the last change tells it from a newer file that reuses the inode of a removed one.
  bool knows(const struct stat& status) const { return files_.contains(identityOf(status)); }
  /// Whether one of the files has this name: then only contains() is certain.
  bool haveName(std::string_view name) const { return names_.contains(name); }
  /// Also true for files that have got one of the paths since. Waits for the disk.
  bool contains(const struct stat& status) const;

  /// Whether one of the server's own files lies below the root at `root`, or around it, or may.
  bool lieAt(std::string_view root) const;
  /// Whether an open file or folder is the server's own, below a root at `root`; "": it cannot be
  /// by its path, see lieAt(). Never waits.
  bool areServers(int fd, const struct stat& status, std::string_view root) const;
  /// Likewise for what has this name, or would get it, in an open folder.
  bool areServers(int folder, std::string_view name, std::string_view root) const;
  /// Whether a file that an upload would replace is the server's own. Never waits.
  bool isServers(const struct stat& status) const;
  /// Looks again at what may have been replaced. Waits for the disk.
  void refresh() const {
    if (server_) server_->refresh();
  }

 private:
  void add(const std::vector<MountConfig>& mounts);
  /// Device, inode, time of the last change in seconds and nanoseconds.
  using Identity = std::tuple<dev_t, ino_t, time_t, long>;
  static Identity identityOf(const struct stat& status) {
    return {status.st_dev, status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  }

  std::set<Identity> files_;
  std::vector<std::filesystem::path> paths_;
  std::set<std::string, std::less<>> names_;  ///< the last parts of the paths
  std::shared_ptr<ServerFiles> server_;       ///< nullptr: none are known
};

}  // namespace egalaxyd
