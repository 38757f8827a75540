// What an attacker who runs code in a worker tries next; for tests of the sandbox.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace egalaxyd {

struct HostileTargets {
  pid_t master = 0;
  pid_t sibling = 0;           ///< 0: there is none
  int listener = -1;           ///< that others use as well
  std::uint16_t service = 0;   ///< a TCP port of 127.0.0.1 that must not be reached
  std::string datagramSocket;  ///< path of a socket that must not be sent to
  std::string ownFile;         ///< the process may write to it, and it belongs to the process
  std::string foreignFile;     ///< that it may not open; "": there is none
};

/// Tries to leave the process in which it runs, and to harm what it shares with others. One line
/// for each attempt that was not denied (EPERM, EACCES, ENOSYS): "shutdown SHUT_RD: done" or
/// "bpf: errno 22". "" when all were denied.
std::string attackAll(const HostileTargets& targets);

}  // namespace egalaxyd
