// Files that no site ever serves, whatever they hold: those that the configuration names as keys.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

/// Filled in the master before the fork, immutable afterwards; any thread.
class PrivateFiles {
 public:
  /// The keys that `config` names and those of the automatic certificates.
  static PrivateFiles keysOf(const Config& config);

  void add(const std::filesystem::path& file);

  /// Whether it is one of the files that had the names when they were added. Never waits. The time
  /// of the last change tells it from a newer file that reuses the inode of a removed one.
  bool knows(const struct stat& status) const { return files_.contains(identityOf(status)); }
  /// Whether one of the files has this name: then only contains() is certain.
  bool haveName(std::string_view name) const { return names_.contains(name); }
  /// Also true for files that have got one of the paths since. Waits for the disk.
  bool contains(const struct stat& status) const;

 private:
  /// Device, inode, time of the last change in seconds and nanoseconds.
  using Identity = std::tuple<dev_t, ino_t, time_t, long>;
  static Identity identityOf(const struct stat& status) {
    return {status.st_dev, status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  }

  std::set<Identity> files_;
  std::vector<std::filesystem::path> paths_;
  std::set<std::string, std::less<>> names_;  ///< the last parts of the paths
};

}  // namespace egalaxyd
