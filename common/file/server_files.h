// The server's own files: no site serves them and no upload changes them, wherever they lie.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/config/config.h"

namespace egalaxyd {

enum class FileUse { kServe, kChange };

/// One of them, or one of their folders.
struct ServerFile {
  enum class Kind {
    kFile,    ///< and what rotation and editors leave beside it
    kPublic,  ///< may be served, but not changed: a certificate, a plug-in
    kFolder,  ///< with all in it, but for a root that somebody has put into it
    kSealed,  ///< with all in it, always
    kNamed,   ///< a folder; with the files in it that `pattern` names, and what editors leave there
  };
  std::string name;  ///< for messages, "the log"
  Kind kind;
  std::filesystem::path path;  ///< absolute, as the configuration names it
  std::string real;            ///< without links; what is not there yet included
  std::optional<std::pair<dev_t, ino_t>> identity = {};  ///< of a file that is there
  std::string pattern = {};                              ///< as IncludePattern::names
};

/// Configuration with what it includes or would include, log, pid file, database, state and
/// run-time folder; and what a reload reads: certificates, plug-ins. Filled in the master before
/// the fork; any thread.
class ServerFiles {
 public:
  explicit ServerFiles(const Config& config);
  /// Those made later have this file, too: one that no configuration names. Single-threaded.
  static void add(const std::string& name, const std::filesystem::path& file);

  /// Whether `path`, absolute and without links, is one of them or lies in one of their folders.
  /// `root` is the folder that is served, likewise. Never waits.
  bool cover(std::string_view path, std::string_view root, FileUse use) const;
  /// Whether one that is never served has its place below `root`, a folder without links, or `root`
  /// lies in one of their folders.
  bool lieAt(std::string_view root) const;
  /// Whether it is one of them under another name, as of the last refresh(). Never waits.
  bool know(const struct stat& status, FileUse use) const;
  /// Looks again at where they are. Waits for the disk.
  void refresh();

  std::vector<ServerFile> list() const { return *now(); }

 private:
  using Files = std::shared_ptr<const std::vector<ServerFile>>;
  Files now() const {
    const MutexLock lock(mutex_);
    return files_;
  }

  mutable Mutex mutex_;
  /// Those of kind kPublic are the last: there may be many, and who serves need not look at them.
  Files files_ EGALAXYD_GUARDED_BY(mutex_);
};

/// Whether `path` is `folder` or lies below it; both absolute and without links.
bool isWithin(std::string_view path, std::string_view folder);

}  // namespace egalaxyd
