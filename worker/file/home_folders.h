// The folders of the users whose pages a `homes` mount serves.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/file/private_files.h"
#include "common/file/site_root.h"

namespace egalaxyd {

/// Those of one mount. A worker may not ask the user database: a folder counts as a user's if it
/// lies where the configuration says, and its owner is no account of the system. Loop thread, but
/// for open().
class HomeFolders {
 public:
  using Folder = std::shared_ptr<const SiteRoot>;

  /// Folders never serve the files in `neverServed`.
  HomeFolders(const HomesArgs& args, std::shared_ptr<const PrivateFiles> neverServed);

  /// The folder of `user`, if it was opened a moment ago; nullptr: open() it.
  Folder known(const std::string& user) const;
  void remember(const std::string& user, Folder folder);

  /// `user`: isUserName(). Errors: kNotFound (there is none, or it is not a user's), as
  /// SiteRoot::openAt. Waits for the disk; any thread.
  Result<Folder> open(const std::string& user) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Opened {
    Folder folder;
    Clock::time_point when;
  };

  const std::filesystem::path pattern_;
  const SymlinkPolicy symlinks_;
  const std::uint32_t minUid_;
  const std::shared_ptr<const PrivateFiles> neverServed_;
  std::unordered_map<std::string, Opened> opened_;
};

}  // namespace egalaxyd
