// Everything from fork(2) to execve(2) of one script.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/shared/launcher_plan.h"
#include "common/shared/launcher_protocol.h"

namespace egalaxyd {

/// Whose account the launcher has, and so its scripts.
struct OwnAccount {
  std::string user;
  std::string home;
  /// This process's; blocking. What is not to be had is its number, and "/".
  static OwnAccount own();
};

struct ScriptOrder {
  const ScriptMount& mount;
  const RunScript& ask;  ///< judged by lieOf()
  int spool = -1;        ///< the folder that ask.body lies in
  int ruleset = -1;      ///< of hideFolders(hidden); -1: nothing is hidden
  const std::vector<std::string>& hidden;
  const OwnAccount& account;
  /// What its processes are known by, wherever they go; above 0.
  std::uint64_t tag = 0;
};

struct ForkedScript {
  pid_t pid = 0;
  UniqueFd output;  ///< what it writes to standard output; non-blocking, as the next two
  UniqueFd errors;
  /// Ends without a byte when the script runs, or ended before it could; else readStartFailure()
  /// has something.
  UniqueFd report;
};

/// Never waits: whatever may is done in the new process. Fails without pipes or processes.
Result<ForkedScript> forkScript(const ScriptOrder& order);

struct StartFailure {
  WhyNot why = WhyNot::kNoResource;
  std::string text;
};
/// What ForkedScript::report says; nullopt: nothing, or nothing yet.
std::optional<StartFailure> readStartFailure(int report);

/// The tag of the run that `pid`, a child of this process, belongs to: every process inherits it,
/// and none can take a later run's, whatever session it makes. 0: it has none.
std::uint64_t tagOf(pid_t pid);
/// Whether a script has begun it, though it may have spoilt its tag.
bool isOfScript(pid_t pid);
}  // namespace egalaxyd
