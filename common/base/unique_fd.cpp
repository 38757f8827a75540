#include "common/base/unique_fd.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/errno_error.h"

namespace egalaxyd {

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<std::pair<UniqueFd, UniqueFd>> messageSocketPair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return errnoError("socketpair", errno);
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

}  // namespace egalaxyd
