// Which peers of the control socket may change something.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "master/control/control_server.h"

namespace egalaxyd {

/// The accounts that may beside root, and the workers, which may not.
struct Commanders {
  uid_t owner = 0;                       ///< what the master runs as
  gid_t group = 0;                       ///< of the socket
  std::vector<uid_t> workerAccounts{};   ///< may not, though they are in the group
  std::vector<pid_t> workerProcesses{};  ///< may not, though they may be the owner's
  bool isScript = false;                 ///< the peer is, or may be, a script: it may not either
};

/// The refusal for `peer`, which says which accounts are allowed; "" when it is allowed. A worker
/// that was taken over must not command its master: its account and its process are refused
/// whatever their groups, and so is a script. Pure.
std::string whyRefused(const ControlPeer& peer, const Commanders& commanders);

}  // namespace egalaxyd
