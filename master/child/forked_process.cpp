#include "master/child/forked_process.h"

#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

// glibc 2.36 declares these calls for C alone.
int pidfdOpen(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

[[noreturn]] void beChild(const std::function<int()>& body) {
  int code = EX_SOFTWARE;
  try {
    code = body();
  } catch (const std::exception& e) {
    spdlog::critical("a process of egalaxyd ends by an exception: {}", e.what());
  }
  ::_exit(code);  // no destructor of the master may run here
}

}  // namespace

Result<ForkedProcess> forkProcess(const std::function<int()>& body) {
  std::fflush(nullptr);  // or the child would write what is buffered a second time
  ForkedProcess process;
  process.pid = ::fork();
  if (process.pid < 0) return errnoError("fork", errno);
  if (process.pid == 0) beChild(body);
  process.pidFd.reset(pidfdOpen(process.pid));
  if (!process.pidFd) {
    const Error error = errnoError("watch a process", errno);
    ::kill(process.pid, SIGKILL);
    ::waitpid(process.pid, nullptr, 0);
    return error;
  }
  return process;
}

void killProcess(const ForkedProcess& process) {
  ::syscall(SYS_pidfd_send_signal, process.pidFd.get(), SIGKILL, nullptr, 0);
}

siginfo_t collectProcess(const ForkedProcess& process) {
  siginfo_t info{};
  const auto fd = static_cast<id_t>(process.pidFd.get());
  if (::waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG) != 0) info.si_pid = 0;
  return info;
}

std::string endInWords(const siginfo_t& info) {
  if (info.si_pid == 0) return "ended in an unknown way";
  if (info.si_code == CLD_EXITED) return fmt::format("exited with code {}", info.si_status);
  const char* name = ::sigabbrev_np(info.si_status);
  return fmt::format("killed by signal {}{}{}", info.si_status,
                     name == nullptr ? "" : fmt::format(" (SIG{})", name),
                     info.si_code == CLD_DUMPED ? ", core dumped" : "");
}

}  // namespace egalaxyd
