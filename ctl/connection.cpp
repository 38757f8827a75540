#include "ctl/tls_client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>

#include "common/certificate.h"
#include "common/certificate_names.h"
#include "common/errno_error.h"
#include "common/ip_address.h"

namespace egalaxyd {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* addresses) const { ::freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Result<Addresses> lookUp(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed != 0) {
    return Error{ErrorCode::kNotFound, fmt::format("look up {}: {}", host, ::gai_strerror(failed))};
  }
  return Addresses(found);
}

/// 0 or errno; a timeout is EINPROGRESS, as connect() says it.
int connectTo(const addrinfo& address, UniqueFd& fd) {
  fd.reset(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{TlsClient::kPatience.count(), 0};
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0) {
    return errno;
  }
  return ::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
}

/// SNI. OpenSSL's own macro for it casts in the old style; the name is copied.
bool sendName(SSL* ssl, std::string host) {
  return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host.data()) == 1;
}

Error tooSlow(std::string_view doing) {
  return {ErrorCode::kBusy,
          fmt::format("{}: nothing happened for {} s", doing, TlsClient::kPatience.count())};
}

}  // namespace

void TlsClient::Free::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
void TlsClient::Free::operator()(SSL* ssl) const {
  SSL_shutdown(ssl);  // close_notify, if the connection still takes it
  SSL_free(ssl);
  ERR_clear_error();
}

Result<TlsClient> TlsClient::connect(const std::string& host, std::uint16_t port) {
  const auto addresses = lookUp(host, port);
  if (!addresses) return addresses.error();
  const std::string doing = fmt::format("connect to {} port {}", host, port);
  TlsClient client;
  int failed = 0;
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    failed = connectTo(*address, client.fd_);
    if (failed == 0) break;
  }
  if (failed == EINPROGRESS) return tooSlow(doing);
  if (failed != 0) return errnoError(doing, failed);
  if (auto shaken = client.handshake(host); !shaken) return shaken.error();
  return client;
}

Result<void> TlsClient::handshake(const std::string& host) {
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (!context_ || SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION) != 1) {
    return Error{ErrorCode::kIo, "cannot set up TLS"};
  }
  ssl_.reset(SSL_new(context_.get()));
  const bool named = IpAddress::parse(host) || (ssl_ && sendName(ssl_.get(), host));
  if (!ssl_ || !named || SSL_set_fd(ssl_.get(), fd_.get()) != 1) {
    return Error{ErrorCode::kInvalid, fmt::format("cannot set up TLS for {}", host)};
  }
  const int returned = SSL_connect(ssl_.get());
  if (returned != 1) return failure("TLS handshake", returned);
  return {};
}

Error TlsClient::failure(std::string_view doing, int returned) const {
  const int code = errno;
  const int kind = SSL_get_error(ssl_.get(), returned);
  const unsigned long error = ERR_peek_error();
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) return tooSlow(doing);
  if (ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return {ErrorCode::kIo, fmt::format("{}: the server ended the connection without TLS "
                                        "close_notify; what came may be cut short",
                                        doing)};
  }
  if (kind == SSL_ERROR_SYSCALL) return errnoError(doing, code);
  const char* reason = ERR_reason_error_string(error);
  return {ErrorCode::kIo, fmt::format("{}: {}", doing, reason == nullptr ? "failed" : reason)};
}

Result<void> TlsClient::send(std::string_view bytes) {
  ERR_clear_error();
  std::size_t written = 0;  // all or nothing: partial writes are not enabled
  const int returned = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
  if (returned != 1) return failure("send the request", returned);
  return {};
}

Result<std::string> TlsClient::receive() {
  ERR_clear_error();
  std::array<char, 16384> chunk;
  std::size_t got = 0;
  const int returned = SSL_read_ex(ssl_.get(), chunk.data(), chunk.size(), &got);
  if (returned == 1) return std::string(chunk.data(), got);
  if (SSL_get_error(ssl_.get(), returned) == SSL_ERROR_ZERO_RETURN) return std::string();
  return failure("read the response", returned);
}

std::string TlsClient::describe() const {
  const X509Ptr certificate(SSL_get1_peer_certificate(ssl_.get()));
  const std::string tls =
      fmt::format("{} {}", SSL_get_version(ssl_.get()), SSL_get_cipher_name(ssl_.get()));
  if (!certificate) return tls + ", no certificate";
  return fmt::format(
      "{}, certificate {}, SHA-256 {}, until {}", tls, certificateSubject(certificate.get()),
      certificateFingerprint(certificate.get()), certificateNotAfterText(certificate.get()));
}

}  // namespace egalaxyd
