// Whether a script may be run, looked at where it is. Blocking: for the process that becomes it.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/shared/launcher_plan.h"

namespace egalaxyd {

/// Where a script is said to be.
struct ScriptSpot {
  std::string root;    ///< "" where the mount has one program
  std::string script;  ///< below the root
  std::string path;    ///< by which it is to be executed
};
/// `script` is of `mount`, and lieOf() has judged it; "" names the mount's program. Does not block.
ScriptSpot spotOf(const ScriptMount& mount, std::string_view script);

/// Whether what is at `place`, of `mount`, may be run. Errors, with texts for the log: kNotFound
/// (it is not there, or outside the root), kPermission (not executable, or everybody may write it,
/// its folder, or one between it and the root; with mount.ownOnly: not its account's alone),
/// kNoSpace (out of descriptors or memory), kIo.
Result<void> checkScript(const ScriptMount& mount, const ScriptSpot& place);

/// Why execve(2) of `path`, which checkScript() has passed, has failed. Errors as there.
Error whyNotRun(const std::string& path, int errnoValue);

}  // namespace egalaxyd
