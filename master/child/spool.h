// The folder in which bodies for scripts wait: the workers' own, where scripts of any account can
// open what a launcher hands them.
#pragma once

#include <filesystem>
#include <optional>

#include "common/base/result.h"
#include "common/shared/worker_id.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// Makes <state>/spool with mode 0711 and gives it to `owner`, the workers' account, if there is
/// one. No link is followed. Master, whose state folder it is; blocks.
Result<void> prepareSpool(const std::filesystem::path& stateDir,
                          const std::optional<Account>& owner);

/// Removes what workers have left there that are `dead`; nothing where there is no such folder. For
/// a process that was forked for it; blocks.
void emptySpool(const std::filesystem::path& stateDir, const DeadWorkers& dead);

}  // namespace egalaxyd
