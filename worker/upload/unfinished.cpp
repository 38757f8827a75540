#include "worker/upload/unfinished.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string_view>

#include "common/base/unique_fd.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {

bool removeAbandoned(int folder, const char* name) {
  const UniqueFd fd(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return false;
  return ::unlinkat(folder, name, 0) == 0;
}

std::size_t removeAllAbandoned(int folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> names(::fdopendir(::fcntl(folder, F_DUPFD_CLOEXEC, 0)),
                                                  [](DIR* d) { return ::closedir(d); });
  std::size_t removed = 0;
  while (names != nullptr) {
    const dirent* entry = ::readdir(names.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name.starts_with(kUnfinishedPrefix) && removeAbandoned(folder, entry->d_name)) ++removed;
  }
  return removed;
}

}  // namespace egalaxyd
