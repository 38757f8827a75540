// Scripts are killed before others when memory is short.
#pragma once

#include <string>

#include "common/base/unique_fd.h"

namespace egalaxyd {

/// This process's oom_score_adj, which what it forks inherits: to set it in the new process would
/// have the kernel make an entry in /proc for each. Made before denyTracing(), which makes it
/// root's. What is refused here leaves scripts with the process's own.
class OomScore {
 public:
  OomScore();
  /// Around a fork(2).
  void beScripts() const;
  void beOwn() const;

 private:
  UniqueFd file_;
  std::string own_;
};

}  // namespace egalaxyd
