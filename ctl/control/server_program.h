// egalaxyd as a program, for what it knows better than egalaxyctl.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/base/result.h"

namespace egalaxyd::ctl {

/// The server of the tree that this program belongs to, else its name alone, to be looked for in
/// PATH.
std::string serverProgram();

/// Starts a program, `line` being its arguments with its name first. `out` becomes its standard
/// output; -1: ours.
Result<pid_t> startProgram(std::vector<std::string> line, int out = -1);

/// Waits for it: its status as waitpid gives it.
Result<int> waitForProgram(pid_t program);

/// What egalaxyd --dump prints: the configuration that it would start with from here. It complains
/// on our standard error; kInvalid then.
Result<std::string> dumpedConfiguration();

}  // namespace egalaxyd::ctl
