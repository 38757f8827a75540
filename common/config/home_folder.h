// "~/capsule" in a configuration. A shell would have replaced it; TOML has no shell.
#pragma once

#include <filesystem>

#include "common/base/result.h"

namespace egalaxyd {

/// `path` with a leading "~" or "~NAME" replaced: the folder that HOME names, which is that of
/// whoever starts the server, or the account's. Anything else stays as it is. Master alone: may
/// wait for the account database.
Result<std::filesystem::path> withHomeFolder(const std::filesystem::path& path);

}  // namespace egalaxyd
