// A client's end of one connection. For egalaxyctl alone: every call blocks.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/tls/certificate.h"

namespace egalaxyd::ctl {

/// Where something listens.
struct Endpoint {
  std::string host;  ///< a name, or an address without brackets
  std::uint16_t port = 0;
};

struct Peer {
  std::string host;  ///< whom it shall be; a name is sent as SNI
  Endpoint at;       ///< where it is
  bool tls = true;
};

/// Whether to speak with a server that shows this certificate. Called within the handshake: after
/// an error the server sees neither a client's certificate nor a request. That it holds the key is
/// certain only once the connection is open.
using Judge = std::function<Result<void>(const X509*)>;

/// TCP, with TLS or without. Not a Poco::Net::SecureStreamSocket, though a missing close_notify is
/// an error there, too: POCO 1.11's always blocks, so a session ticket would hold up an upload that
/// looks whether the server has answered early.
class Connection {
 public:
  /// kInvalid when TLS takes no such certificate: its key is too short, for example.
  static Result<void> checkIdentity(const KeyedCertificate& identity);

  /// Shows `identity` to a server that asks for a certificate; nullptr: has none. This and every
  /// later call give up after `patience` without any progress. The error is the one of `judge`, or
  /// another than kPermission.
  static Result<Connection> open(const Peer& peer, std::chrono::seconds patience,
                                 const KeyedCertificate* identity, const Judge& judge);

  /// Sends all, unless the server answers or ends meanwhile: false then, and receive() tells what.
  Result<bool> send(std::string_view bytes);
  /// The next bytes, or "" when the server has closed in order. A TLS connection that just ends, as
  /// one that was cut does, is an error.
  Result<std::string> receive();
  /// "TLSv1.3 TLS_AES_256_GCM_SHA384, certificate CN=example.org, SHA-256 …, until …"
  std::string describe() const;

 private:
  struct Free {
    void operator()(SSL_CTX* context) const;
    void operator()(SSL* ssl) const;
  };
  /// What one try brought: bytes moved, the end, or what poll() must tell before the next one.
  struct Tried {
    std::size_t bytes = 0;
    short waitFor = 0;
    bool ended = false;
  };

  Result<void> handshake(const Peer& peer, const KeyedCertificate* identity, const Judge& judge);
  Result<void> setUp(const Peer& peer, const KeyedCertificate* identity);
  Result<Tried> trySend(std::string_view bytes);
  /// What comes is appended to received_.
  Result<Tried> tryReceive();
  /// Why a call on ssl_ that returned `returned` did not do its work.
  Result<Tried> unfinished(std::string_view doing, int returned) const;
  Result<void> wait(std::string_view doing, short events) const;

  UniqueFd fd_;
  std::chrono::seconds patience_{0};
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;  ///< nullptr: without TLS
  std::string received_;
  bool shaken_ = false;  ///< the handshake is done
  bool ended_ = false;
};

}  // namespace egalaxyd::ctl
