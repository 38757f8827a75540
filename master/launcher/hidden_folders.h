// Landlock for scripts that share the workers' account: everything as before, but some folders.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

/// A Landlock ruleset that gives all files but those in `folders` (absolute; one that does not
/// exist is skipped), whose names stay listable. What is made beside one of them, or beside a
/// folder on the way to it, after this call is not given. It also keeps a process from sending
/// signals to those that began without it, where the kernel can (ABI 6). Blocking. kPermission: the
/// kernel has no Landlock.
Result<UniqueFd> hideFolders(const std::vector<std::string>& folders);

/// Makes an open file that is hidden readable.
void showFile(int ruleset, int file);

/// Confines the calling thread, which needs no_new_privs.
Result<void> enterRuleset(int ruleset);

}  // namespace egalaxyd
