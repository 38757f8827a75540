#include "worker/upload/folder_sync.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "common/errno_error.h"
#include "worker/upload/crash_point.h"

namespace egalaxyd {

Result<void> FolderSync::add(int folder) {
  struct stat status {};
  if (::fstat(folder, &status) != 0) return errnoError("stat folder", errno);
  UniqueFd& kept = folders_[{status.st_dev, status.st_ino}];
  if (!kept) kept = UniqueFd(::fcntl(folder, F_DUPFD_CLOEXEC, 0));
  if (!kept) return errnoError("keep folder", errno);
  return {};
}

Result<void> FolderSync::sync() {
  const auto folders = std::exchange(folders_, {});
  for (const auto& [inode, folder] : folders) {
    if (::fsync(folder.get()) != 0) return errnoError("fsync folder", errno);
  }
  if (!folders.empty()) crashPoint("folder_synced");
  return {};
}

}  // namespace egalaxyd
