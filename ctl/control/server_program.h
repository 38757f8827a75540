// Runs the program egalaxyd, for --check and --dump.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/base/result.h"

namespace egalaxyd::ctl {

/// The egalaxyd that is installed beside this program, else the name alone, to be looked for in
/// PATH.
std::string serverProgram();

/// Starts a program, `line` being its arguments with its name first. `out` becomes its standard
/// output; -1: ours.
Result<pid_t> startProgram(std::vector<std::string> line, int out = -1);

/// Waits for it: its status as waitpid gives it.
Result<int> waitForProgram(pid_t program);

/// The configuration that is meant where no server runs and no file is named: this folder's, else
/// the system's, else the built-in one for this folder.
struct LikelyConfiguration {
  std::vector<std::string> options;  ///< with which egalaxyd reads it
  std::string name;                  ///< in words
};
LikelyConfiguration likelyConfiguration();

/// What egalaxyd --dump prints for it. kInvalid when it has complaints, which it prints on our
/// standard error.
Result<std::string> dumpedConfiguration(const LikelyConfiguration& likely);

}  // namespace egalaxyd::ctl
