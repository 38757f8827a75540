// Bytes to and from one client, with or without TLS.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/unique_fd.h"
#include "worker/base/client_identity.h"
#include "worker/base/tls_facts.h"
#include "worker/site/body.h"

namespace egalaxyd {

enum class IoStatus {
  kDone,     ///< something happened; there may be more
  kBlocked,  ///< nothing more until the descriptor is ready again
  kEnd,      ///< read: the peer will send no more
  kFailed,   ///< the connection has failed
};

struct IoResult {
  IoStatus status;
  std::size_t bytes = 0;
};

/// Owns the socket. Loop thread only; never waits. The descriptor is watched edge-triggered
/// (EPOLLET): go on until kBlocked.
class Transport {
 public:
  virtual ~Transport() = default;

  /// kDone once the peer may be read from and written to.
  virtual IoResult handshake() = 0;
  virtual IoResult read(std::span<char> into) = 0;
  /// The most that one write() may bring; kLargestChunk is the limit.
  virtual std::size_t chunk() const { return kBodyChunk; }
  /// Takes all of `bytes` (at most chunk()) and holds back what the socket does not take, for
  /// send(). Write again only when send() said kDone.
  virtual void write(std::string_view bytes) = 0;
  /// Like write(), for the last bytes of an answer, if any, and TLS's close_notify behind them. The
  /// kernel may hold a part of them back until the socket is shut down (MSG_MORE), so that the FIN
  /// leaves in the same segment: shut it down as soon as send() says kDone.
  virtual void writeLast(std::string_view bytes) = 0;
  /// kDone when nothing is held back; `bytes` counts what the socket took.
  virtual IoResult send() = 0;

  /// Whether bytes wait that the socket did not take.
  virtual bool holdsBack() const = 0;

  virtual int fd() const = 0;
  /// Gives the socket up, to be drained and closed elsewhere.
  virtual UniqueFd releaseSocket() = 0;

  /// The name that the client asked for in the handshake, lower-case; "" without one.
  virtual std::string_view serverName() const { return {}; }
  /// How the client refused our certificate: the alert's name in RFC 8446, "unknown_ca"; "" if it
  /// did not.
  virtual std::string_view refusal() const { return {}; }
  virtual TlsFacts tls() const { return {}; }
  /// nullptr without a certificate.
  virtual std::shared_ptr<const ClientIdentity> identity() const { return nullptr; }
};

}  // namespace egalaxyd
