#include "master/spawner.h"

#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <utility>

#include "common/errno_error.h"

namespace egalaxyd {
namespace {

// glibc 2.36 declares these calls for C alone.
int pidfdOpen(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

[[noreturn]] void beWorker(WorkerSetup setup, const std::function<void()>& forgetMaster) {
  int code = EX_SOFTWARE;
  try {
    forgetMaster();
    code = runWorker(std::move(setup));
  } catch (const std::exception& e) {
    spdlog::critical("a worker ends by an exception: {}", e.what());
  }
  ::_exit(code);  // no destructor of the master may run here
}

std::string exitWords(int code) {
  const char* meaning = code == kWorkerExitDone      ? ""
                        : code == kWorkerExitRefused ? " (could not serve)"
                        : code == kWorkerExitLeak    ? " (left something open)"
                        : code == EX_SOFTWARE        ? " (an exception)"
                                                     : "";
  return fmt::format("exited with code {}{}", code, meaning);
}

std::string signalWords(int signal, bool dumped) {
  const char* name = ::sigabbrev_np(signal);
  return fmt::format("killed by signal {}{}{}", signal,
                     name == nullptr ? "" : fmt::format(" (SIG{})", name),
                     dumped ? ", core dumped" : "");
}

}  // namespace

Result<SpawnedWorker> spawnWorker(WorkerSetup setup, const std::function<void()>& forgetMaster) {
  auto ends = messageSocketPair();
  if (!ends) return ends.error();
  SpawnedWorker worker;
  worker.channel = WorkerChannel(std::move(ends->first));
  setup.channel = WorkerChannel(std::move(ends->second));
  std::fflush(nullptr);  // or the child would write what is buffered a second time
  worker.pid = ::fork();
  if (worker.pid < 0) return errnoError("fork a worker", errno);
  if (worker.pid == 0) {
    worker.channel = WorkerChannel();
    beWorker(std::move(setup), forgetMaster);
  }
  worker.pidFd.reset(pidfdOpen(worker.pid));
  if (!worker.pidFd) {
    const Error error = errnoError("watch a worker", errno);
    ::kill(worker.pid, SIGKILL);
    ::waitpid(worker.pid, nullptr, 0);
    return error;
  }
  return worker;
}

void killWorker(const SpawnedWorker& worker) {
  ::syscall(SYS_pidfd_send_signal, worker.pidFd.get(), SIGKILL, nullptr, 0);
}

ExitCause collectWorker(const SpawnedWorker& worker) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(worker.pidFd.get()), &info, WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return {false, "ended in an unknown way"};
  }
  if (info.si_code == CLD_EXITED) {
    return {info.si_status == kWorkerExitDone, exitWords(info.si_status)};
  }
  return {false, signalWords(info.si_status, info.si_code == CLD_DUMPED)};
}

}  // namespace egalaxyd
