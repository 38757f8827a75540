// TLS over a non-blocking socket, on an SSL_CTX of TlsContexts.
#pragma once

#include <openssl/types.h>

#include <array>
#include <cstddef>
#include <string>

#include "worker/transport/outbox.h"
#include "worker/transport/transport.h"

struct bio_method_st;

namespace egalaxyd {

/// What all TLS connections of a worker share: the bridge between OpenSSL and their sockets (a
/// BIO), and the buffer that bytes arrive in, so that a connection without bytes has no buffer.
class TlsIo {
 public:
  TlsIo();
  ~TlsIo();
  TlsIo(const TlsIo&) = delete;
  TlsIo& operator=(const TlsIo&) = delete;

 private:
  friend class TlsTransport;
  bio_method_st* method_;  ///< OpenSSL's BIO_METHOD
  /// Larger than one TLS record: most flights arrive in one system call.
  std::array<char, 18 * 1024> inbox_;
};

/// Reads a whole flight with one system call and writes header, body and close_notify with one:
/// OpenSSL talks to memory, the socket is read and written here.
class TlsTransport final : public Transport {
 public:
  /// `io` and `context` must outlive the transport.
  TlsTransport(UniqueFd socket, TlsIo& io, SSL_CTX* context);
  ~TlsTransport() override;
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;

  IoResult handshake() override;
  IoResult read(std::span<char> into) override;
  std::size_t chunk() const override { return kLargestChunk; }
  void write(std::string_view bytes) override;
  void writeLast(std::string_view bytes) override;
  IoResult send() override;
  bool holdsBack() const override { return !outbox_.empty(); }

  int fd() const override { return socket_.get(); }
  UniqueFd releaseSocket() override { return std::move(socket_); }
  std::string_view serverName() const override { return serverName_; }
  std::string_view refusal() const override { return refusal_; }
  TlsFacts tls() const override;
  std::shared_ptr<const ClientIdentity> identity() const override { return identity_; }

 private:
  friend class TlsIo;

  int receive(char* into, int size);
  void encrypt(std::string_view bytes, bool last);
  int append(const char* from, int size);
  void keepUnread();
  IoStatus classify(int returned) const;
  void learnServerName();
  void learnPeer();
  void fail();
  bool tooManyRecords() const;
  static void onMessage(int sent, int version, int type, const void* bytes, std::size_t size,
                        SSL* ssl, void* transport);

  UniqueFd socket_;
  Outbox outbox_;  ///< for encrypted bytes
  TlsIo& io_;
  SSL* ssl_;
  std::string_view arrived_;  ///< into io_'s inbox, during one call
  std::string unread_;        ///< what a call left of arrived_, for the next call
  bool drained_ = false;      ///< during one call: the socket is empty
  bool ended_ = false;        ///< the peer will send no more
  bool failed_ = false;       ///< after a fatal error SSL_shutdown() must not be called
  bool handshaken_ = false;
  std::size_t fruitless_ = 0;  ///< records without data: of the handshake, then since it
  std::string serverName_;
  std::string_view refusal_;  ///< a literal
  std::shared_ptr<const ClientIdentity> identity_;
};

}  // namespace egalaxyd
