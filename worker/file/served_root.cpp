#include "worker/file/served_root.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

bool isSame(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// Whether the sandbox forbids reading a folder that the account may read.
bool isOutOfReach(const std::filesystem::path& path) {
  const UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return !folder && errno == EACCES && ::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) == 0;
}

}  // namespace

Result<std::shared_ptr<ServedRoot>> ServedRoot::openAt(const std::filesystem::path& path,
                                                       SymlinkPolicy symlinks,
                                                       std::shared_ptr<const PrivateFiles> keys) {
  auto folder = SiteRoot::openAt(path, symlinks, keys);
  if (!folder) return std::move(folder).error();
  auto now = std::make_shared<const SiteRoot>(std::move(folder).value());
  return std::shared_ptr<ServedRoot>(
      new ServedRoot(path, symlinks, std::move(keys), std::move(now)));
}

/// In the pool. kSame if the path cannot be examined now.
ServedRoot::Seen ServedRoot::look() const {
  using What = Seen::What;
  struct stat status {};
  const int error = ::stat(path_.c_str(), &status) != 0 ? errno : 0;
  if (error == ENOENT || error == ENOTDIR || error == ELOOP) return {What::kGone};
  if (error == 0 && !S_ISDIR(status.st_mode)) return {What::kGone};
  // The master could open it, but the workers' account lacks permission.
  if (error == EACCES ||
      (::faccessat(AT_FDCWD, path_.c_str(), X_OK, AT_EACCESS) != 0 && errno == EACCES)) {
    return {What::kForbidden, {}, "their account may not pass a folder on the way"};
  }
  if (error != 0) return {What::kSame};
  if (now_ && isSame(now_->status(), status)) return {What::kSame};
  if (isOutOfReach(path_)) {
    return {What::kUnusable, {}, "the sandbox allows no reading there, which a reload changes"};
  }
  auto folder = SiteRoot::openAt(path_, symlinks_, keys_);
  if (!folder) return {What::kUnusable, {}, folder.error().message};
  return {What::kReplaced, std::make_shared<const SiteRoot>(std::move(folder).value())};
}

void ServedRoot::take(Seen seen, bool tells) {
  using What = Seen::What;
  const std::string path = logQuote(path_.native());
  switch (seen.what) {
    case What::kSame:
      return;
    case What::kGone:
      if (now_ && tells) {
        spdlog::error("the root {} is gone: its requests are answered 41 until it is back", path);
      }
      now_ = nullptr;
      unusable_.clear();
      return;
    case What::kForbidden:
      if (tells && seen.why != unusable_) {
        spdlog::error("the root {} is out of the workers' reach: {} (namei -l shows which)", path,
                      seen.why);
      }
      unusable_ = std::move(seen.why);
      return;
    case What::kReplaced:
      if (tells) spdlog::info("the root {} {}", path, now_ ? "was replaced" : "is back");
      now_ = std::move(seen.folder);
      unusable_.clear();
      return;
    case What::kUnusable:
      if (tells && seen.why != unusable_) {
        spdlog::error("the root {} leads to another folder now, which cannot be served: {}; {}",
                      path, seen.why,
                      now_ ? "the one before is still served" : "its requests are answered 41");
      }
      unusable_ = std::move(seen.why);
      return;
  }
}

Result<std::shared_ptr<ServedRoot>> ServedRoots::open(
    const std::filesystem::path& path, SymlinkPolicy symlinks,
    const std::shared_ptr<const PrivateFiles>& keys) {
  const auto known = roots_.find({path, symlinks});
  if (known != roots_.end()) return known->second;
  auto root = ServedRoot::openAt(path, symlinks, keys);
  if (root) roots_.emplace(std::pair(path, symlinks), *root);
  return root;
}

void ServedRoots::look(Lane& pool, bool tells) {
  if (looking_ || roots_.empty()) return;
  using Change = std::pair<ServedRoot*, ServedRoot::Seen>;
  looking_ = true;
  pool.submit(
      [this]() -> Result<std::vector<Change>> {
        std::vector<Change> changes;
        for (const auto& [path, root] : roots_) {
          auto seen = root->look();
          if (seen.what == ServedRoot::Seen::What::kSame) continue;
          changes.emplace_back(root.get(), std::move(seen));
        }
        return changes;
      },
      [this, tells](Result<std::vector<Change>> changes) {
        looking_ = false;
        if (!changes) return;  // the next look is in a second
        for (auto& [root, seen] : *changes) root->take(std::move(seen), tells);
      });
}

}  // namespace egalaxyd
