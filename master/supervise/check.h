// --check: everything that a start would look at, with the eyes of the account that serves.
#pragma once

#include <optional>
#include <string>

#include "common/config/config_loader.h"
#include "common/config/findings.h"

namespace egalaxyd {

/// everyFinding(), and what the account finds that serves: roots, upload folders and the log. That
/// account is `as`, or the one of the configuration where this process is root. Keys and
/// certificates are read as this process. Blocking; leaves no trace.
Findings checkEverything(LoadedConfig loaded, const std::optional<std::string>& as);

/// Why this process cannot look with the eyes of `as`; "" where it can.
std::string whyNotAs(const std::string& as);

}  // namespace egalaxyd
