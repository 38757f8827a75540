// A client's end of one TLS connection, for the tool alone: it waits where it stands.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"

namespace egalaxyd {

/// Trusts any certificate: pins are a reader's matter, this is for smoke tests and scripts.
class TlsClient {
 public:
  /// How long it waits without any progress before it gives up.
  static constexpr std::chrono::seconds kPatience{10};

  /// `host`: a name, which is sent as SNI, or an address without brackets.
  static Result<TlsClient> connect(const std::string& host, std::uint16_t port);

  Result<void> send(std::string_view bytes);
  /// The next bytes, or "" when the server has closed in order. A connection that just ends, as one
  /// that was cut does, is an error.
  Result<std::string> receive();
  /// "TLSv1.3 TLS_AES_256_GCM_SHA384, certificate CN=example.org, SHA-256 …, until …"
  std::string describe() const;

 private:
  struct Free {
    void operator()(SSL_CTX* context) const;
    void operator()(SSL* ssl) const;
  };

  Result<void> handshake(const std::string& host);
  /// Why a call on ssl_ that returned `returned` failed.
  Error failure(std::string_view doing, int returned) const;

  UniqueFd fd_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
};

}  // namespace egalaxyd
