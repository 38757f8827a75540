// Files that no site ever serves, whatever they hold: those that the configuration names as keys.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config.h"

namespace egalaxyd {

/// Filled in the master before the fork, immutable afterwards; any thread.
class PrivateFiles {
 public:
  /// The keys that `config` names and those of the automatic certificates.
  static PrivateFiles keysOf(const Config& config);

  void add(const std::filesystem::path& file);

  /// Whether it is one of the files that had the names when they were added. Never waits.
  bool knows(const struct stat& status) const {
    return files_.contains({status.st_dev, status.st_ino});
  }
  /// Whether one of the files is called so: then only contains() is sure.
  bool haveName(std::string_view name) const {
    return std::any_of(paths_.begin(), paths_.end(),
                       [&](const auto& path) { return path.filename().native() == name; });
  }
  /// Also what has come to one of the names since. Waits for the disk.
  bool contains(const struct stat& status) const;

 private:
  std::set<std::pair<dev_t, ino_t>> files_;
  std::vector<std::filesystem::path> paths_;
};

}  // namespace egalaxyd
