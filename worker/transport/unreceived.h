// How many of the sent bytes the peer's kernel has not acknowledged.
#pragma once

#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace egalaxyd {

/// SIOCOUTQ of a TCP socket. While it is not 0, closing is dangerous: a byte that arrives
/// afterwards makes the kernel reset the connection and drop the rest.
inline int unreceivedBytes(int socket) {
  int bytes = 0;
  return ::ioctl(socket, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

}  // namespace egalaxyd
