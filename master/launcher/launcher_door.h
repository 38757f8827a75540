// Where masters come in when the service manager has started the launcher.
#pragma once

#include <sys/types.h>

#include <functional>
#include <set>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Accepts on a listening Unix socket (SOCK_SEQPACKET) whom a master can be: root, the account that
/// owns the folder in which the socket is, and the account egalaxyd; never the launcher's own,
/// which scripts have, too. Loop thread only.
class LauncherDoor {
 public:
  /// Fails when `socket` is no such socket.
  static Result<void> isOne(int socket);

  /// The accounts are looked up here; blocking.
  LauncherDoor(EventLoop& loop, UniqueFd socket, std::function<void(UniqueFd)> onMaster);

 private:
  void onReady();

  UniqueFd socket_;
  std::set<uid_t> masters_;
  std::function<void(UniqueFd)> onMaster_;
  Watch watch_;
};

}  // namespace egalaxyd
