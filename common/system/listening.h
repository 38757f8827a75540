// Listening TCP sockets, which the master shares with its workers.
#pragma once

#include <sys/socket.h>

#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

/// How many connections wait to be accepted; the kernel caps it at net.core.somaxconn.
inline constexpr int kListenBacklog = 4096;

/// Master only. Every process that has the socket can spoil it for all: one that was taken over
/// may.
class ListeningSocket {
 public:
  /// Of a socket that is bound; sets what every connection takes over from it.
  explicit ListeningSocket(UniqueFd fd);

  int get() const { return fd_.get(); }
  bool listens() const;
  /// Makes the socket what it was, where something has changed: it listens, at its address, does
  /// not block, and its connections have the usual options. What was amiss, in words for the log;
  /// "": nothing. Fails where it cannot listen again.
  Result<std::string> mend() const;

 private:
  void setOptions() const;
  bool setLostOptions() const;
  Result<void> listenAgain() const;

  UniqueFd fd_;
  sockaddr_storage address_{};
  socklen_t addressSize_ = sizeof address_;
};

/// For one on its way out: whoever is connected is accepted, nobody else gets in. From now on the
/// kernel begins no further connection on `listener`, in whatever process it is open, for good;
/// those that are being made, or wait to be accepted, come through. Who tries hears nothing, tries
/// again after a second as TCP does, and is refused when all have closed it. A plain close() would
/// reset those who wait. Never for a socket that lives on elsewhere.
Result<void> refuseNewcomers(int listener);
bool refusesNewcomers(int listener);

}  // namespace egalaxyd
