// The files that a group of uploads has given names, on their way to the disk: one fsync serves all
// that are in the same folder.
#pragma once

#include <memory>
#include <vector>

#include "common/base/result.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {

/// Storage thread only.
class FolderSync {
 public:
  /// `file` was published, or removed, in the group's turn.
  void add(std::shared_ptr<UploadFile> file) { files_.push_back(std::move(file)); }
  /// All of them are on the disk, their old contents are gone, and they are forgotten. An fsync
  /// that fails is not tried again, since the kernel reports a lost write once: then all of them
  /// are taken back, the last first, while the group still has its turn.
  Result<void> sync();

 private:
  Result<void> syncFolders() const;

  std::vector<std::shared_ptr<UploadFile>> files_;
};

}  // namespace egalaxyd
