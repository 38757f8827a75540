// Folders that are served by their paths: a path may lead to another folder at any time.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "common/config/config.h"
#include "worker/base/lane.h"
#include "worker/file/private_files.h"
#include "worker/file/site_root.h"

namespace egalaxyd {

/// The folder at one path. Opened by the master before the fork, later used on the loop thread.
class ServedRoot {
 public:
  /// `keys`: not nullptr.
  static Result<std::shared_ptr<ServedRoot>> openAt(const std::filesystem::path& path,
                                                    SymlinkPolicy symlinks,
                                                    std::shared_ptr<const PrivateFiles> keys);

  /// The folder, for as long as a request needs it; nullptr while there is none.
  const std::shared_ptr<const SiteRoot>& now() const { return now_; }

 private:
  friend class ServedRoots;
  /// The outcome of a look at the path.
  struct Seen {
    enum class What { kSame, kGone, kForbidden, kReplaced, kUnusable } what = What::kSame;
    std::shared_ptr<const SiteRoot> folder = {};  ///< with kReplaced
    std::string why = {};                         ///< with kForbidden and kUnusable
  };

  ServedRoot(std::filesystem::path path, SymlinkPolicy symlinks,
             std::shared_ptr<const PrivateFiles> keys, std::shared_ptr<const SiteRoot> folder)
      : path_(std::move(path)),
        symlinks_(symlinks),
        keys_(std::move(keys)),
        now_(std::move(folder)) {}
  Seen look() const;
  void take(Seen seen, bool tells);

  const std::filesystem::path path_;
  const SymlinkPolicy symlinks_;
  const std::shared_ptr<const PrivateFiles> keys_;
  /// Changed only by take(), which never runs at the same time as look().
  std::shared_ptr<const SiteRoot> now_;
  std::string unusable_;  ///< the reason that was logged last
};

/// All roots of one configuration; lives as long as its workers' loops.
class ServedRoots {
 public:
  /// Roots with the same path and policy are shared. Master only.
  Result<std::shared_ptr<ServedRoot>> open(const std::filesystem::path& path,
                                           SymlinkPolicy symlinks,
                                           const std::shared_ptr<const PrivateFiles>& keys);
  /// Looks at all paths again, one after the other on one thread of the pool; does nothing while
  /// the last look is under way. Loop thread. `tells`: whether this process logs changes.
  void look(Lane& pool, bool tells);

 private:
  std::map<std::pair<std::filesystem::path, SymlinkPolicy>, std::shared_ptr<ServedRoot>> roots_;
  bool looking_ = false;
};

}  // namespace egalaxyd
