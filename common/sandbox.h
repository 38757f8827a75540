// What a worker may still ask of the kernel once it serves: Landlock for files, seccomp for system
// calls.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/config.h"
#include "common/result.h"

namespace egalaxyd {

struct SandboxRules {
  std::vector<std::filesystem::path> readable;  ///< files and folders, with all below
  std::vector<std::filesystem::path> writable;  ///< likewise, writing, making and removing included
};

/// Confines the calling process and its later threads for good: no other files, no exec, no fork,
/// no new listening socket, no new privileges. Call it after everything else is open. kAuto takes
/// what this kernel offers and the returned text says what that is ("landlock, seccomp"); kRequired
/// fails where something is missing; kOff does nothing.
Result<std::string> enterSandbox(SandboxMode mode, const SandboxRules& rules);

}  // namespace egalaxyd
