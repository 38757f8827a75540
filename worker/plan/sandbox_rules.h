// Which files and folders a worker keeps.
#pragma once

#include "common/config/config.h"
#include "common/system/sandbox.h"

namespace egalaxyd {

/// What the sites of `config` read and write, and the database's folder. Nothing that the master
/// reads or opens by its name (its configuration, keys, plug-ins, log, the rest of the state
/// folder) can be replaced from there, unless it lies within a root that takes uploads. A folder
/// that comes to the place of such a root is writable where that is so for the one around it too.
/// Looks at the links on the way to all these.
SandboxRules workerSandbox(const Config& config);

}  // namespace egalaxyd
