// A Gemini client over OpenSSL that does what it is told, wrong things included.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/tcp_client.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {

struct TlsSettings {
  std::optional<std::string> serverName = "localhost";  ///< SNI; nullopt: none
  int minVersion = TLS1_2_VERSION;
  int maxVersion = TLS1_3_VERSION;
  std::string groups;                            ///< "" = OpenSSL's own list; the first is offered
  const TestCertificate* certificate = nullptr;  ///< ours
  SSL_SESSION* resume = nullptr;                 ///< a session to offer
  std::size_t segment = 0;                       ///< bytes per send(); 0: all at once
  TcpSettings tcp;
};

/// What came back.
struct Reply {
  std::string header;  ///< without CRLF; all that came when there was no CRLF
  int status = 0;      ///< 0: no header
  std::string meta;
  std::string body;
  bool handshake = false;    ///< it was completed
  bool closeNotify = false;  ///< TLS was ended properly
  Ending ending = Ending::kOpen;
  std::string error;  ///< OpenSSL's, or ""

  /// A whole response, ended as the protocol wants it.
  bool complete() const { return status != 0 && closeNotify && ending == Ending::kClosed; }
};
std::ostream& operator<<(std::ostream& out, const Reply& reply);

/// One connection. TLS runs over memory, so that a test may decide which bytes travel when. Every
/// call ends at a deadline. One thread.
class GeminiClient {
 public:
  explicit GeminiClient(std::uint16_t port, const TlsSettings& settings = {});

  /// False when the server refused or went away; see error().
  bool handshake();
  /// Our first flight, not yet sent: for a test that sends it in its own way.
  std::string takeHello();
  /// One TLS record (at most 16 KiB).
  bool send(std::string_view bytes);
  /// One TLS record per byte.
  bool sendByByte(std::string_view bytes);
  /// Sends close_notify and goes on reading.
  void closeNotify();
  /// Asks for a renegotiation (TLS 1.2); whether the server agreed.
  bool renegotiate();

  /// At most `most` bytes; "" at the end or at the deadline.
  std::string read(std::size_t most, const Deadline& deadline = Deadline());
  /// Everything until the connection's end; `already` was read before.
  Reply readReply(std::string already = {}, const Deadline& deadline = Deadline());

  TcpClient& tcp() { return tcp_; }
  const std::string& error() const { return error_; }
  bool gotCloseNotify() const { return closeNotify_; }
  /// Session tickets that the server sent so far.
  int tickets() const { return *tickets_; }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  SSL* ssl() const { return ssl_.get(); }
  /// SHA-256 of the server's certificate in hex; "" before the handshake.
  std::string serverFingerprint() const;
  X509* serverCertificate() const { return SSL_get0_peer_certificate(ssl_.get()); }

 private:
  struct ContextFree {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  bool flush();
  bool pull(const Deadline& deadline);
  void noteError(const char* doing);

  std::size_t segment_;
  TcpClient tcp_;
  std::unique_ptr<int> tickets_;
  std::unique_ptr<SSL_CTX, ContextFree> context_;
  std::unique_ptr<SSL, SslFree> ssl_;
  BIO* fromServer_;  ///< owned by ssl_
  BIO* toServer_;    ///< owned by ssl_
  bool closeNotify_ = false;
  bool handshaken_ = false;
  std::string error_;
};

/// Connects, sends `line` as it is, reads the answer.
Reply exchange(std::uint16_t port, std::string_view line, const TlsSettings& settings = {});
/// The same for a URL; the CRLF is added.
Reply fetch(std::uint16_t port, std::string_view url, const TlsSettings& settings = {});

}  // namespace egalaxyd
