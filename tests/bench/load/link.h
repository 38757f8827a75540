// One client connection, plain or TLS, never waiting. Loop thread only.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "load/options.h"
#include "load/report.h"

namespace egalaxyd::load {

/// CLOCK_MONOTONIC, the same in all processes.
std::uint64_t nowNs();

enum class Io {
  kDone,
  kWait,    ///< nothing now; the socket will raise an event
  kEnd,     ///< ended as the protocol wants: close_notify, or FIN without TLS
  kCut,     ///< FIN without close_notify
  kFailed,  ///< see Link::failure()
};

class Link {
 public:
  Link() = default;
  ~Link() { close(); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Begins a connection from 127.0.0.`source` (0: any) and watches it edge-triggered in `epoll`
  /// with `tag`. Ends the process when it is this machine that cannot (descriptors, ports).
  /// `receiveBuffer`: bytes, 0 = the system's choice. `nagle`: without TCP_NODELAY.
  void open(const Target& target, int epoll, void* tag, int source, int receiveBuffer = 0,
            bool nagle = false);
  void close();
  bool isOpen() const { return fd_ >= 0; }

  /// kDone once the TCP connection stands.
  Io connected();
  /// From here on reads and writes speak TLS; the handshake happens inside them.
  void startTls(SSL_CTX* context, const std::string& host);
  /// Makes the ClientHello and keeps it; needs no connection. sendHello() goes on from there.
  void prepareTls(SSL_CTX* context, const std::string& host);
  void sendHello();
  Io handshake();

  Io write(std::string_view bytes, std::size_t& done);
  Io read(char* into, std::size_t room, std::size_t& got);
  Outcome failure() const { return failure_; }

 private:
  Io classify(int result);
  Io fail(Outcome outcome);

  int fd_ = -1;
  SSL* ssl_ = nullptr;
  Outcome failure_ = Outcome::kReset;
};

/// What every client handshakes with: TLS 1.2 or 1.3, a full handshake each time.
SSL_CTX* makeClientContext();
/// The first half of a real ClientHello.
std::string halfClientHello(SSL_CTX* context, const std::string& host);

}  // namespace egalaxyd::load
