// --daemon: the process that was started waits in the foreground until its child serves, so that
// its exit code says whether the start succeeded.
#pragma once

#include "common/base/unique_fd.h"

namespace egalaxyd {

class Background {
 public:
  /// Forks. Returns in the child, as leader of a session of its own; the parent waits there until
  /// ready() or the child's end, and exits with 0 or the child's code.
  static Result<Background> enter();

  /// Leaves the terminal and the working directory; to be called before any further fork.
  void detach();
  /// The waiting parent exits with 0.
  void ready();

 private:
  explicit Background(UniqueFd parent) : parent_(std::move(parent)) {}
  UniqueFd parent_;
};

}  // namespace egalaxyd
