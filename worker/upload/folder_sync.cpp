#include "worker/upload/folder_sync.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <utility>

#include "common/base/errno_error.h"

namespace egalaxyd {

Result<void> FolderSync::sync() {
  const auto synced = syncFolders();
  for (auto file = files_.rbegin(); file != files_.rend(); ++file) {
    if (synced) {
      (*file)->discardOld();
    } else {
      static_cast<void>((*file)->takeBack());  // the file remembers the outcome
    }
  }
  files_.clear();
  return synced;
}

Result<void> FolderSync::syncFolders() const {
  Result<void> all;
  std::map<std::pair<dev_t, ino_t>, bool> folders;  // and whether their fsync succeeded
  for (const auto& file : files_) {
    struct stat folder {};
    bool synced = ::fstat(file->folder(), &folder) == 0;
    if (synced) {
      const auto [entry, isNew] = folders.try_emplace({folder.st_dev, folder.st_ino}, false);
      if (isNew) entry->second = ::fsync(file->folder()) == 0;
      synced = entry->second;
      if (!synced && isNew) all = errnoError("fsync folder", errno);
    } else {
      all = errnoError("stat folder", errno);
    }
    if (!synced) file->noteFailedSync();
  }
  return all;
}

}  // namespace egalaxyd
