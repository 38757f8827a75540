// Folders and files that are served by their paths: a path may lead to another one at any time, and
// may lead nowhere for a while.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/file/private_files.h"
#include "common/file/site_root.h"
#include "common/shared/root_report.h"
#include "worker/base/lane.h"

namespace egalaxyd {

/// The folder at one path. Opened by the master before the fork, later used on the loop thread.
class ServedRoot {
 public:
  /// Also where there is no folder that can be opened. Fails without descriptors or memory.
  /// `keys`: not nullptr.
  static Result<std::shared_ptr<ServedRoot>> openAt(const std::filesystem::path& path,
                                                    SymlinkPolicy symlinks,
                                                    std::shared_ptr<const PrivateFiles> keys);

  /// The folder, for as long as a request needs it; nullptr while there is none.
  const std::shared_ptr<const SiteRoot>& now() const { return now_; }
  /// As of the last look.
  const Presence& presence() const { return presence_; }

 private:
  friend class ServedRoots;
  /// The outcome of a look at the path.
  struct Seen {
    /// kKept: the folder that is served stays, whatever the presence is.
    enum class What { kKept, kNone, kReplaced } what = What::kKept;
    Presence presence = {};
    std::shared_ptr<const SiteRoot> folder = {};  ///< with kReplaced
  };

  ServedRoot(std::filesystem::path path, SymlinkPolicy symlinks,
             std::shared_ptr<const PrivateFiles> keys, std::shared_ptr<const SiteRoot> folder,
             Presence presence)
      : path_(std::move(path)),
        symlinks_(symlinks),
        keys_(std::move(keys)),
        now_(std::move(folder)),
        presence_(std::move(presence)) {}
  /// In the pool; nullopt: all is as it was, or that cannot be seen now.
  std::optional<Seen> look() const;
  void take(Seen seen, bool tells);

  const std::filesystem::path path_;
  const SymlinkPolicy symlinks_;
  const std::shared_ptr<const PrivateFiles> keys_;
  bool takesUploads_ = false;
  // Changed only by take(), which never runs at the same time as look().
  std::shared_ptr<const SiteRoot> now_;
  Presence presence_;
};

/// All roots and files of one configuration; lives as long as its workers' loops.
class ServedRoots {
 public:
  /// Roots with the same path and policy are shared. Master only. Errors as ServedRoot::openAt.
  Result<std::shared_ptr<ServedRoot>> open(const std::filesystem::path& path,
                                           SymlinkPolicy symlinks,
                                           const std::shared_ptr<const PrivateFiles>& keys,
                                           bool takesUploads = false);
  /// A file that is opened by its path for each request: it is looked at, too. Master only.
  void watchFile(const std::filesystem::path& path);
  /// They are looked at again, too. Master only.
  void keepFresh(std::shared_ptr<const PrivateFiles> files) { files_ = std::move(files); }

  /// Looks at all paths again, one after the other on one thread of the pool; does nothing while
  /// the last look is under way. Loop thread. `tells`: whether this process logs changes. `then` is
  /// called when it has looked.
  void look(Lane& pool, bool tells, std::function<void()> then = {});

  /// Of roots and files, in the order in which they were named.
  std::size_t count() const { return places_.size(); }
  const std::filesystem::path& path(std::size_t index) const { return places_.at(index).path; }
  const Presence& presence(std::size_t index) const;

 private:
  struct Place {
    std::filesystem::path path;
    std::shared_ptr<ServedRoot> root;  ///< nullptr: a file
    Presence file;
  };
  struct Change {
    std::size_t index;
    std::optional<ServedRoot::Seen> root;
    Presence file;
  };
  std::vector<Change> lookAtAll() const;
  void take(Change change, bool tells);

  std::map<std::pair<std::filesystem::path, SymlinkPolicy>, std::shared_ptr<ServedRoot>> roots_;
  std::vector<Place> places_;
  std::shared_ptr<const PrivateFiles> files_;
  bool looking_ = false;
};

/// Whether this account may enter the folder at `path`. Waits for the disk.
Presence presenceOfFolder(const std::filesystem::path& path);
/// Whether the file at `path` can be served: by this account, in this sandbox. Waits for the disk.
Presence presenceOfFile(const std::filesystem::path& path);

}  // namespace egalaxyd
