// The sidecars of one directory mount, as they were when somebody looked.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/file/site_root.h"
#include "worker/file/sidecar.h"

namespace egalaxyd {

/// A folder's sidecar is looked at once a second at most, and read again when it has changed. The
/// memory for what was read is bounded. Any thread.
class Sidecars {
 public:
  explicit Sidecars(Sidecar kind) : kind_(kind), name_(sidecarName(kind)) {}

  /// What the sidecars in the folders on the way to `relative` (see SiteRoot::open), the nearest
  /// before the others, say of it; only those of the first kMostLevels folders are asked. A sidecar
  /// that cannot be read says nothing. kBusy: ask again from the pool, where files are read.
  /// kNoSpace as SiteRoot::open.
  Result<FileNote> of(const SiteRoot& root, std::string_view relative, Waiting waiting);

  /// Whether a request for `sitePath` or an upload there names a sidecar.
  bool isNamedBy(std::string_view sitePath) const;
  /// "" when there are none.
  const std::string& name() const { return name_; }

  static constexpr std::size_t kMostLevels = 16;

 private:
  using Clock = std::chrono::steady_clock;
  /// Device, inode, size, and the times of the last change of content and status.
  using Version = std::tuple<dev_t, ino_t, off_t, time_t, long, time_t, long>;
  struct Entry {
    Version version = {};
    std::shared_ptr<const SidecarNotes> notes = {};  ///< nullptr: there is none
    Clock::time_point goodUntil = {};
  };
  using Notes = std::shared_ptr<const SidecarNotes>;

  static Version versionOf(const struct stat& status);
  Result<Notes> at(const SiteRoot& root, const std::string& folder, Waiting waiting);
  Notes read(const OpenFile& file, const std::string& path);
  void keep(const std::string& folder, Entry entry, std::size_t bytes);
  void warn(const std::string& path, std::string_view text);

  const Sidecar kind_;
  const std::string name_;
  Mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_ EGALAXYD_GUARDED_BY(mutex_);
  std::size_t bytes_ EGALAXYD_GUARDED_BY(mutex_) = 0;  ///< that entries_ may take
  Clock::time_point nextWarning_ EGALAXYD_GUARDED_BY(mutex_) = {};
};

}  // namespace egalaxyd
