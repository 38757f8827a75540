// Listening TCP sockets, which the master shares with its workers.
#pragma once

#include <sys/socket.h>

#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

/// How many connections wait to be accepted; the kernel caps it at net.core.somaxconn.
inline constexpr int kListenBacklog = 4096;

/// A listening socket of the master's. Every worker has it too, so one that was taken over can stop
/// it or change its options for all of them; mend() repairs that. Master only.
class ListeningSocket {
 public:
  /// `fd` is bound. Sets the options that accepted connections inherit.
  explicit ListeningSocket(UniqueFd fd);

  int get() const { return fd_.get(); }
  bool listens() const;
  /// Where the socket has stopped listening, blocks, or has other options than it was made with:
  /// restores that. Returns what was wrong, for the log; "" when nothing was. Fails where it cannot
  /// listen again.
  Result<std::string> mend() const;

 private:
  void setOptions() const;
  bool setLostOptions() const;
  Result<void> listenAgain() const;

  UniqueFd fd_;
  sockaddr_storage address_{};
  socklen_t addressSize_ = sizeof address_;
};

/// For a server that stops: a filter on `listener` (SO_ATTACH_FILTER) drops each SYN, in every
/// process that has it open, for good. Connections whose handshake has begun or that wait to be
/// accepted are not touched, while a plain close() would reset them. A new client's TCP tries again
/// after a second, and is refused once all processes have closed the socket. Never for a socket
/// that another server goes on using.
Result<void> refuseNewcomers(int listener);
bool refusesNewcomers(int listener);

}  // namespace egalaxyd
