#include "ctl/client/connection.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "common/base/errno_error.h"
#include "common/tls/certificate_names.h"
#include "common/wire/ip_address.h"

namespace egalaxyd::ctl {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* addresses) const { ::freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Result<Addresses> lookUp(const Endpoint& at) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed =
      ::getaddrinfo(at.host.c_str(), std::to_string(at.port).c_str(), &hints, &found);
  if (failed != 0) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("look up {}: {}", at.host, ::gai_strerror(failed))};
  }
  return Addresses(found);
}

/// False when nothing has happened until then.
bool awaitEvents(int fd, short events, std::chrono::milliseconds patience) {
  pollfd waiting{fd, events, 0};
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, static_cast<int>(patience.count()));
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

/// 0 or errno.
int connectTo(const addrinfo& address, std::chrono::seconds patience, UniqueFd& fd) {
  fd.reset(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno;
  const int on = 1;  // a request behind the handshake's last bytes does not wait for their ACK
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!awaitEvents(fd.get(), POLLOUT, patience)) return ETIMEDOUT;
  int failed = 0;
  socklen_t size = sizeof failed;
  return ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &failed, &size) == 0 ? failed : errno;
}

/// SNI. OpenSSL's own macro for it casts in the old style; the name is copied.
bool sendName(SSL* ssl, std::string host) {
  return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host.data()) == 1;
}

bool show(SSL* ssl, const KeyedCertificate& identity) {
  if (SSL_use_certificate(ssl, identity.chain.front().get()) != 1 ||
      SSL_use_PrivateKey(ssl, identity.key.get()) != 1) {
    return false;
  }
  for (std::size_t i = 1; i < identity.chain.size(); ++i) {
    if (SSL_ctrl(ssl, SSL_CTRL_CHAIN_CERT, 1, identity.chain[i].get()) != 1) return false;
  }
  return true;
}

/// A network that the operating system forbids is one that fails, and no stranger.
Error networkError(std::string_view doing, int errnoValue) {
  return {ErrorCode::kIo, errnoError(doing, errnoValue).message};
}

Error tooSlow(std::string_view doing, std::chrono::seconds patience) {
  return {ErrorCode::kBusy, fmt::format("{}: nothing happened for {} s", doing, patience.count())};
}

/// A judge at work in a handshake.
struct Court {
  const Judge& judge;
  Result<void> verdict;
};

/// OpenSSL's callback in place of its own look at a server's chain.
int judgeServer(X509_STORE_CTX* shown, void* court) {
  auto& at = *static_cast<Court*>(court);
  at.verdict = at.judge(X509_STORE_CTX_get0_cert(shown));
  X509_STORE_CTX_set_error(shown, at.verdict ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
  return at.verdict ? 1 : 0;
}

/// Of the error that OpenSSL has queued first.
std::string reasonOf(unsigned long error, bool shaken) {
  const int reason = ERR_GET_REASON(error);
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return shaken ? "the server ended the connection without TLS close_notify; what came may be "
                    "cut short"
                  : "the server ended the connection; does it speak TLS on this port?";
  }
  if (reason == SSL_R_WRONG_VERSION_NUMBER) return "what answers on this port does not speak TLS";
  const char* text = ERR_reason_error_string(error);
  return text == nullptr ? "failed" : text;
}

}  // namespace

void Connection::Free::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
void Connection::Free::operator()(SSL* ssl) const {
  SSL_shutdown(ssl);  // close_notify, if the connection still takes it
  SSL_free(ssl);
  ERR_clear_error();
}

Result<void> Connection::checkIdentity(const KeyedCertificate& identity) {
  ERR_clear_error();
  const std::unique_ptr<SSL_CTX, Free> context(SSL_CTX_new(TLS_client_method()));
  const std::unique_ptr<SSL, Free> ssl(context ? SSL_new(context.get()) : nullptr);
  if (ssl && show(ssl.get(), identity)) return {};
  return Error{ErrorCode::kInvalid,
               fmt::format("cannot use the certificate: {}", reasonOf(ERR_peek_error(), false))};
}

Result<Connection> Connection::open(const Peer& peer, std::chrono::seconds patience,
                                    const KeyedCertificate* identity, const Judge& judge) {
  const auto addresses = lookUp(peer.at);
  if (!addresses) return addresses.error();
  const std::string doing = fmt::format("connect to {} port {}", peer.at.host, peer.at.port);
  Connection connection;
  connection.patience_ = patience;
  int failed = 0;
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    failed = connectTo(*address, patience, connection.fd_);
    if (failed == 0) break;
  }
  if (failed == ETIMEDOUT) return tooSlow(doing, patience);
  if (failed != 0) return networkError(doing, failed);
  if (!peer.tls) return connection;
  if (auto shaken = connection.handshake(peer, identity, judge); !shaken) return shaken.error();
  return connection;
}

Result<void> Connection::setUp(const Peer& peer, const KeyedCertificate* identity) {
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (!context_ || SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION) != 1) {
    return Error{ErrorCode::kIo, "cannot set up TLS"};
  }
  SSL_CTX_set_mode(context_.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_options(context_.get(), SSL_OP_NO_RENEGOTIATION);  // the server stays who it is
  ssl_.reset(SSL_new(context_.get()));
  const bool named = IpAddress::parse(peer.host) || (ssl_ && sendName(ssl_.get(), peer.host));
  if (!ssl_ || !named || SSL_set_fd(ssl_.get(), fd_.get()) != 1 ||
      (identity != nullptr && !show(ssl_.get(), *identity))) {
    return Error{ErrorCode::kIo, fmt::format("cannot set up TLS for {}", peer.host)};
  }
  return {};
}

Result<void> Connection::handshake(const Peer& peer, const KeyedCertificate* identity,
                                   const Judge& judge) {
  if (auto ready = setUp(peer, identity); !ready) return ready;
  Court court{judge, {}};
  SSL_CTX_set_cert_verify_callback(context_.get(), &judgeServer, &court);
  constexpr std::string_view kDoing = "TLS handshake";
  for (;;) {
    ERR_clear_error();
    const int returned = SSL_connect(ssl_.get());
    shaken_ = returned == 1;
    if (shaken_) {
      SSL_CTX_set_cert_verify_callback(context_.get(), nullptr, nullptr);  // the court is over
      return {};
    }
    if (!court.verdict) return court.verdict;
    const auto tried = unfinished(kDoing, returned);
    if (!tried) return tried.error();
    if (tried->ended) return Error{ErrorCode::kIo, "TLS handshake: the server ended it"};
    if (auto waited = wait(kDoing, tried->waitFor); !waited) return waited;
  }
}

Result<Connection::Tried> Connection::unfinished(std::string_view doing, int returned) const {
  const int code = errno;
  const int kind = SSL_get_error(ssl_.get(), returned);
  if (kind == SSL_ERROR_WANT_READ) return Tried{.waitFor = POLLIN};
  if (kind == SSL_ERROR_WANT_WRITE) return Tried{.waitFor = POLLOUT};
  if (kind == SSL_ERROR_ZERO_RETURN) return Tried{.ended = true};
  if (kind == SSL_ERROR_SYSCALL) return networkError(doing, code);
  const unsigned long error = ERR_peek_error();
  const bool otherProtocol = !shaken_ && ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER;
  return Error{otherProtocol ? ErrorCode::kInvalid : ErrorCode::kIo,
               fmt::format("{}: {}", doing, reasonOf(error, shaken_))};
}

Result<void> Connection::wait(std::string_view doing, short events) const {
  if (!awaitEvents(fd_.get(), events, patience_)) return tooSlow(doing, patience_);
  return {};
}

Result<Connection::Tried> Connection::trySend(std::string_view bytes) {
  constexpr std::string_view kDoing = "send the request";
  std::size_t sent = 0;
  if (ssl_) {
    ERR_clear_error();
    const int returned = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent);
    if (returned != 1) return unfinished(kDoing, returned);
    return Tried{.bytes = sent};
  }
  const ssize_t taken = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (taken >= 0) return Tried{.bytes = static_cast<std::size_t>(taken)};
  if (errno == EAGAIN || errno == EINTR) return Tried{.waitFor = POLLOUT};
  return networkError(kDoing, errno);
}

Result<Connection::Tried> Connection::tryReceive() {
  constexpr std::string_view kDoing = "read the response";
  std::array<char, 16384> chunk;
  std::size_t got = 0;
  if (ssl_) {
    ERR_clear_error();
    const int returned = SSL_read_ex(ssl_.get(), chunk.data(), chunk.size(), &got);
    if (returned != 1) return unfinished(kDoing, returned);
  } else {
    const ssize_t came = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
    if (came == 0) return Tried{.ended = true};
    if (came < 0 && (errno == EAGAIN || errno == EINTR)) return Tried{.waitFor = POLLIN};
    if (came < 0) return networkError(kDoing, errno);
    got = static_cast<std::size_t>(came);
  }
  received_.append(chunk.data(), got);
  return Tried{.bytes = got};
}

Result<bool> Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto heard = tryReceive();
    if (!heard) return heard.error();
    ended_ = heard->ended;
    if (heard->ended || heard->bytes != 0) return false;
    const auto sent = trySend(bytes);
    if (!sent) {  // what it said before it left is still there
      const auto last = tryReceive();
      if (last && last->bytes != 0) return false;
      return sent.error();
    }
    bytes.remove_prefix(sent->bytes);
    if (sent->waitFor == 0) continue;
    const auto events = static_cast<short>(sent->waitFor | POLLIN);
    if (const auto waited = wait("send the request", events); !waited) return waited.error();
  }
  return true;
}

Result<std::string> Connection::receive() {
  while (received_.empty() && !ended_) {
    const auto heard = tryReceive();
    if (!heard) return heard.error();
    ended_ = heard->ended;
    if (heard->waitFor == 0) continue;
    if (const auto waited = wait("wait for the response", heard->waitFor); !waited) {
      return waited.error();
    }
  }
  return std::exchange(received_, std::string());
}

std::string Connection::describe() const {
  if (!ssl_) return "without TLS";
  const X509Ptr certificate(SSL_get1_peer_certificate(ssl_.get()));
  const std::string tls =
      fmt::format("{} {}", SSL_get_version(ssl_.get()), SSL_get_cipher_name(ssl_.get()));
  if (!certificate) return tls + ", no certificate";
  return fmt::format(
      "{}, certificate {}, SHA-256 {}, until {}", tls, certificateSubject(certificate.get()),
      certificateFingerprint(certificate.get()), certificateNotAfterText(certificate.get()));
}

}  // namespace egalaxyd::ctl
