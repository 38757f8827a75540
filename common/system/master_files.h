// What the master finds by its name, at a start and at each reload: who can put something else
// there has the master read, run or serve it.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "common/config/config.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// The configuration, what it includes or would include, certificates, keys, plug-ins, the log, the
/// state and the run-time folder, as `config` names them. Pure.
std::vector<std::filesystem::path> masterFiles(const Config& config);

/// The first place on the way to `path` that `account` can change: a folder above it that it owns
/// or may write to, a link that it owns, or the file itself; not a folder that is `path`. nullopt:
/// none that can be seen. Looks at the group of the account alone.
std::optional<std::filesystem::path> placeInReach(const Account& account,
                                                  const std::filesystem::path& path);

}  // namespace egalaxyd
