#include "master/child/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/number.h"
#include "common/base/unique_fd.h"
#include "common/shared/script_names.h"

namespace egalaxyd {
namespace {

constexpr mode_t kSpoolMode = 0711;

UniqueFd openSpool(const std::filesystem::path& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/// Whose it is: "<worker id>-…".
bool isDeads(std::string_view name, const DeadWorkers& dead) {
  const auto worker = parseNumber(name.substr(0, name.find('-')), 1, INT64_MAX);
  return worker && dead.contains(static_cast<std::int64_t>(*worker));
}

}  // namespace

Result<void> prepareSpool(const std::filesystem::path& stateDir,
                          const std::optional<Account>& owner) {
  const std::filesystem::path path = stateDir / kSpoolFolder;
  if (::mkdir(path.c_str(), kSpoolMode) != 0 && errno != EEXIST) {
    return errnoError("make folder " + path.string(), errno);
  }
  const UniqueFd folder = openSpool(path);
  struct stat info {};
  if (!folder || ::fstat(folder.get(), &info) != 0) {
    return errnoError("open " + path.string(), errno);
  }
  const uid_t uid = owner ? owner->uid : ::geteuid();
  const gid_t gid = owner ? owner->gid : info.st_gid;
  if (info.st_uid == uid && info.st_gid == gid && (info.st_mode & 07777U) == kSpoolMode) return {};
  // Only its owner may change the mode, not a root that has given up the right.
  if (info.st_uid != ::geteuid() && ::fchown(folder.get(), ::geteuid(), gid) != 0) {
    return errnoError("take " + path.string(), errno);
  }
  if (::fchmod(folder.get(), kSpoolMode) != 0) return errnoError("chmod " + path.string(), errno);
  if (::fchown(folder.get(), uid, gid) != 0) return errnoError("give away " + path.string(), errno);
  return {};
}

void emptySpool(const std::filesystem::path& stateDir, const DeadWorkers& dead) {
  UniqueFd folder = openSpool(stateDir / kSpoolFolder);
  if (!folder) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(folder.get()), &::closedir);
  if (!entries) return;
  const int fd = folder.release();  // the stream's
  while (const dirent* entry = ::readdir(entries.get())) {
    if (isDeads(entry->d_name, dead)) ::unlinkat(fd, entry->d_name, 0);
  }
}

}  // namespace egalaxyd
