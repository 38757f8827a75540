// One master per state folder.
#pragma once

#include <filesystem>

#include "common/base/unique_fd.h"

namespace egalaxyd {

/// Holds <state>/egalaxyd.lock, with this process's id in it, until it goes. The lock belongs to
/// the open file, so a forked child must close its copy (fd()).
class InstanceLock {
 public:
  /// Fails with kExists when another process holds it; the message names that process.
  static Result<InstanceLock> take(const std::filesystem::path& stateDir);
  int fd() const { return fd_.get(); }

 private:
  explicit InstanceLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace egalaxyd
