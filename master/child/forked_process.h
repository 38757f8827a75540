// A child process of the master: forked, watched through a pidfd, collected with waitid.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <functional>
#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

struct ForkedProcess {
  pid_t pid = 0;
  UniqueFd pidFd;  ///< readable once the process has ended
};

/// Forks a process that runs `body` and exits with the code that it returns, or with EX_SOFTWARE
/// when it throws; no destructor of the master runs there. The caller must have one thread.
Result<ForkedProcess> forkProcess(const std::function<int()>& body);

/// SIGKILL.
void killProcess(const ForkedProcess& process);

/// Collects a process whose pidFd is readable (waitid), and says how it ended; si_pid is 0 when
/// that cannot be known.
siginfo_t collectProcess(const ForkedProcess& process);

/// "killed by signal 9 (SIGKILL)", "exited with code 3".
std::string endInWords(const siginfo_t& info);

}  // namespace egalaxyd
