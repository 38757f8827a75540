// The files and folders that a worker may still reach.
#pragma once

#include "common/config/config.h"
#include "common/system/sandbox.h"

namespace egalaxyd {

/// What the sites of `config` read and write, and the database's folder. From there nothing can be
/// replaced that the master reads or opens by name (configuration, keys, plug-ins, log, the rest of
/// the state folder), unless it lies within a root that takes uploads. A folder that takes the
/// place of such a root is writable only if the folder around it is. Resolves the links to these.
SandboxRules workerSandbox(const Config& config);

}  // namespace egalaxyd
