// Syncs the folders of files that a group of uploads has published: one fsync for all in a folder.
#pragma once

#include <memory>
#include <vector>

#include "common/base/result.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {

/// Storage thread only.
class FolderSync {
 public:
  /// Call when `file` was published or removed, in the group's turn.
  void add(std::shared_ptr<UploadFile> file) { files_.push_back(std::move(file)); }
  /// Makes all of them durable, discards their old contents, and forgets them. An fsync that fails
  /// is not tried again, since the kernel reports a lost write only once: all of them are taken
  /// back instead, the last first, while the group still has its turn.
  Result<void> sync();

 private:
  Result<void> syncFolders() const;

  std::vector<std::shared_ptr<UploadFile>> files_;
};

}  // namespace egalaxyd
