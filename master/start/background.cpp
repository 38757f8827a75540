#include "master/start/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

[[noreturn]] void awaitVerdict(UniqueFd verdict, pid_t child) {
  char ready = 0;
  ssize_t got = 0;
  do {
    got = ::read(verdict.get(), &ready, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) ::_exit(EX_OK);
  int status = 0;
  ::waitpid(child, &status, 0);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE);
}

}  // namespace

Result<Background> Background::enter() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errnoError("make a pipe", errno);
  UniqueFd read(ends[0]);
  UniqueFd write(ends[1]);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return errnoError("fork into the background", errno);
  if (child > 0) {
    write.reset();
    awaitVerdict(std::move(read), child);
  }
  ::setsid();
  return Background(std::move(write));
}

void Background::detach() {
  std::fflush(nullptr);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
  [[maybe_unused]] const int moved = ::chdir("/");
}

void Background::ready() {
  const char yes = 1;
  [[maybe_unused]] const auto written = ::write(parent_.get(), &yes, 1);
  parent_.reset();
}

}  // namespace egalaxyd
