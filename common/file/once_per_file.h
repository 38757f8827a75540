// Remembers the files that the log has warned of: clients must not fill the log.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <set>
#include <utility>

#include "common/base/mutex.h"

namespace egalaxyd {

/// Any thread. Forgets all of them when there are too many.
class OncePerFile {
 public:
  bool isFirst(const struct stat& file) {
    const MutexLock lock(mutex_);
    if (seen_.size() >= kMost) seen_.clear();
    return seen_.emplace(file.st_dev, file.st_ino).second;
  }

 private:
  static constexpr std::size_t kMost = 1000;
  Mutex mutex_;
  std::set<std::pair<dev_t, ino_t>> seen_ EGALAXYD_GUARDED_BY(mutex_);
};

}  // namespace egalaxyd
