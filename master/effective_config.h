// The configuration that is in force: the file or the built-in one, under the command line.
#pragma once

#include <string>

#include "common/config.h"
#include "common/config_loader.h"
#include "master/command_line.h"
#include "master/server_paths.h"

namespace egalaxyd {

/// Reads and checks everything that can be checked without opening certificates and roots; called
/// again for each reload. `line` went through chooseConfiguration. State and run-time folders are
/// filled in.
LoadedConfig effectiveConfig(const CommandLine& line, const PathEnvironment& environment);

/// This machine's name as clients might use it: lower-case; "localhost" when it has none.
std::string machineName();

}  // namespace egalaxyd
