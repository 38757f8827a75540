#include "worker/upload/empty_folders.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "common/base/unique_fd.h"

namespace egalaxyd {
namespace {

/// O_PATH: opens a folder whose name is known, without the right to read it.
constexpr int kFolderFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

bool isOurs(int folder, const std::string& name) {
  struct stat status {};
  return ::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
}

}  // namespace

void removeEmptyFolders(const SiteRoot& root, std::string_view folder, std::size_t depth) {
  if (folder.empty()) return;
  auto top = root.open("", Waiting::kAllowed);
  if (!top || !top->isFolder()) return;
  std::vector<std::pair<UniqueFd, std::string>> chain;  // names, each with its parent folder
  UniqueFd within = std::move(top->fd);
  while (!folder.empty()) {
    const std::size_t slash = folder.find('/');
    std::string name(folder.substr(0, slash));
    folder = slash == std::string_view::npos ? "" : folder.substr(slash + 1);
    UniqueFd next(::openat(within.get(), name.c_str(), kFolderFlags));
    if (!next) return;
    chain.emplace_back(std::move(within), std::move(name));
    within = std::move(next);
  }
  if (chain.size() > depth) return;
  for (auto each = chain.rbegin(); each != chain.rend(); ++each) {
    const auto& [outer, name] = *each;
    if (!isOurs(outer.get(), name)) return;
    if (::unlinkat(outer.get(), name.c_str(), AT_REMOVEDIR) != 0) return;
  }
}

}  // namespace egalaxyd
