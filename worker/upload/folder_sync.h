// The folders that a group of uploads has changed: one fsync serves all that changed the same.
#pragma once

#include <map>
#include <utility>

#include "common/result.h"
#include "common/unique_fd.h"

namespace egalaxyd {

/// Storage thread only.
class FolderSync {
 public:
  /// `folder` was changed; it is kept open until sync().
  Result<void> add(int folder);
  /// All of them are on the disk, and forgotten.
  Result<void> sync();

 private:
  std::map<std::pair<std::uint64_t, std::uint64_t>, UniqueFd> folders_;  ///< by device and inode
};

}  // namespace egalaxyd
