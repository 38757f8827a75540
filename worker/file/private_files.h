// Files that no site ever serves, wherever they lie and whatever they are called: private keys.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <utility>

#include "common/config.h"

namespace egalaxyd {

/// Filled in the master before the fork, immutable afterwards.
class PrivateFiles {
 public:
  /// The keys that `config` names and those of the automatic certificates.
  static PrivateFiles keysOf(const Config& config);

  /// A file that does not exist is left out.
  void add(const std::filesystem::path& file);
  bool contains(const struct stat& status) const {
    return files_.contains({status.st_dev, status.st_ino});
  }

 private:
  std::set<std::pair<dev_t, ino_t>> files_;
};

}  // namespace egalaxyd
