// Runs the program egalaxyd, for --check and --dump.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace egalaxyd::ctl {

/// The egalaxyd that is installed beside this program, else the name alone, to be looked for in
/// PATH.
std::string serverProgram();

/// Runs a program to its end, `line` being its arguments with its name first. What it writes goes
/// to these streams as it comes; nullptr: where our own output and errors go. Its status as waitpid
/// gives it.
Result<int> runProgram(std::vector<std::string> line, std::ostream* out = nullptr,
                       std::ostream* err = nullptr);

/// The configuration that is meant where no server runs and no file is named: this folder's, else
/// the system's, else the built-in one for this folder.
struct LikelyConfiguration {
  std::vector<std::string> options;  ///< with which egalaxyd reads it
  std::string name;                  ///< in words
};
LikelyConfiguration likelyConfiguration();

/// What egalaxyd --dump prints for it. kInvalid when it has complaints, which go to `err`.
Result<std::string> dumpedConfiguration(const LikelyConfiguration& likely, std::ostream& err);

}  // namespace egalaxyd::ctl
