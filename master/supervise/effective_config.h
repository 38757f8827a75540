// The configuration that is in force: the file or the built-in one, under the command line.
#pragma once

#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/config/config_loader.h"
#include "master/start/command_line.h"
#include "master/start/server_paths.h"

namespace egalaxyd {

/// Reads and checks everything that can be checked without opening certificates and roots; called
/// again for each reload. `line` went through chooseConfiguration. State and run-time folders are
/// filled in.
LoadedConfig effectiveConfig(const CommandLine& line, const PathEnvironment& environment);

/// Whether the file or the command line names addresses for Spartan. Else the server serves without
/// where the default is taken.
bool wantsSpartan(const Config& config);

/// For a start without a configuration file: that this process may not read the folder, with the
/// name of its account and what to do; "": it may, or there is another reason.
std::string whyUnreadable(const CommandLine& line);

/// What a start without a configuration file found and used, or did not; for the log.
std::vector<std::string> startNotes(const CommandLine& line);

}  // namespace egalaxyd
