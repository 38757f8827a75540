// The listening sockets of one generation: bound here, handed over by systemd, or kept from the
// generation before.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/system/listening.h"
#include "worker/worker.h"

namespace egalaxyd {

/// A socket that systemd passed. The master keeps all of them for its life, as systemd does itself.
struct InheritedSocket {
  std::shared_ptr<const ListeningSocket> fd;
  std::string name;  ///< FileDescriptorName= of the unit
};

/// Takes what systemd passed to this process, and makes it close-on-exec and non-blocking.
/// Anything but a listening stream socket is an error. Empty when there is no socket unit.
Result<std::vector<InheritedSocket>> takeInheritedSockets();

/// Names of addresses, each with every numeric address that it has; a name that has none is
/// missing.
using ResolvedNames = std::multimap<std::string, std::string>;

/// Sockets are shared between generations, so an address that did not change keeps its socket and
/// the connections that wait on it. Master only.
class ListenerSet {
 public:
  struct Listener {
    ListenAddress address;  ///< as configured
    ListenerKind kind = ListenerKind::kGemini;
    /// One, or one per address of a host name.
    std::vector<std::shared_ptr<const ListeningSocket>> sockets;
  };

  ListenerSet() = default;

  /// Opens `config`'s addresses, and those of the status page. Each comes from `inherited` (by its
  /// address; a socket that systemd named "gemini", "titan" or "spartan" stands in for
  /// that whole list), else from `previous`, else it is bound. Fails with kExists where an address
  /// is taken, kPermission where this process may not bind, kBusy where this machine has no such
  /// address, or no address for such a name, at this time; the message says which address and what
  /// to do. Where Spartan's may fail and there are others, one that is taken is warned of instead.
  /// Host names are looked up in `names`, which never blocks; nullptr: with getaddrinfo, which may.
  static Result<ListenerSet> open(const ListenConfig& config,
                                  const std::vector<InheritedSocket>& inherited,
                                  const ListenerSet& previous, const ResolvedNames* names = nullptr,
                                  bool spartanMayFail = false,
                                  const std::vector<ListenAddress>& status = {});

  /// For workers, with real ports. The descriptors stay this object's.
  std::vector<ListenerSocket> sockets() const;
  /// For the process of the status page.
  std::vector<std::shared_ptr<const ListeningSocket>> statusSockets() const;
  const std::vector<Listener>& listeners() const { return listeners_; }

 private:
  std::vector<Listener> listeners_;
};

/// Resolves the host names in both for which `previous` has no sockets. Blocks (getaddrinfo).
ResolvedNames resolveNames(const ListenConfig& config, const ListenerSet& previous,
                           const std::vector<ListenAddress>& status = {});

/// The port that `fd` listens on; 0 when it is no IP socket.
std::uint16_t localPort(int fd);

}  // namespace egalaxyd
