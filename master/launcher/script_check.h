// Whether a script may be run, looked at where it is. Blocking: for the process that becomes it.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/shared/launcher_plan.h"

namespace egalaxyd {

/// The path by which `script` of `mount` is to be executed; "" names the mount's program. Errors,
/// with texts for the log: kNotFound (it is not there, or outside the root), kPermission (not
/// executable, or everybody may write it, its folder, or one between it and the root; with
/// mount.ownOnly: not its account's alone), kNoSpace (out of descriptors or memory), kIo. lieOf()
/// has judged `script`.
Result<std::string> findScript(const ScriptMount& mount, std::string_view script);

/// Why execve(2) of `path`, which findScript() gave, has failed. Errors as there.
Error whyNotRun(const std::string& path, int errnoValue);

}  // namespace egalaxyd
