// Who may command the server, among those who can reach its control socket.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "master/control/control_server.h"

namespace egalaxyd {

/// Those who may beside root.
struct Commanders {
  uid_t owner = 0;                       ///< what the master runs as
  gid_t group = 0;                       ///< of the socket
  std::vector<uid_t> workerAccounts{};   ///< may not, though they are in the group
  std::vector<pid_t> workerProcesses{};  ///< may not, though they may be the owner's
};

/// Why `peer` may change nothing, and who may; "" when it may. A worker that was taken over must
/// not command its master: its account and its process are refused whatever their groups. Pure.
std::string whyRefused(const ControlPeer& peer, const Commanders& commanders);

}  // namespace egalaxyd
