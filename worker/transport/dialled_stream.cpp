#include "worker/transport/dialled_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"
#include "common/tls/openssl_support.h"
#include "common/wire/ip_address.h"
#include "worker/protocol/handshake_guard.h"

namespace egalaxyd {
namespace {

/// Records without data in a row: OpenSSL goes on reading them for as long as there are some, and
/// key updates, tickets and warnings may come without end. A handshake takes ten.
constexpr std::size_t kMostFruitlessRecords = 64;
constexpr std::size_t kMessageHeader = 4;  // type, length
/// No Diffie-Hellman with numbers that the other end has chosen, at any cost.
constexpr const char* kCiphers = "DEFAULT:!kDHE";

using SslContextPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;

Error notTaken(const std::filesystem::path& file) {
  return {ErrorCode::kInvalid, "OpenSSL does not take " + file.string() + ErrorQueue::reason()};
}

Result<void> useCertificate(SSL_CTX* context, const DialledTls& tls) {
  const auto& keyFile = tls.key.empty() ? tls.certificate : tls.key;
  const auto identity = readKeyedCertificate(tls.certificate, keyFile);
  if (!identity) return identity.error();
  bool used = SSL_CTX_use_certificate(context, identity->chain.front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(context, identity->key.get()) == 1;
  for (std::size_t i = 1; used && i < identity->chain.size(); ++i) {
    used = SSL_CTX_add1_chain_cert(context, identity->chain[i].get()) == 1;
  }
  return used ? Result<void>() : Result<void>(notTaken(tls.certificate));
}

}  // namespace

Result<std::shared_ptr<const DialledContext>> DialledContext::make(const DialledTls& tls) {
  const ErrorQueue errors;
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) return Error{ErrorCode::kNoSpace, "no memory for TLS" + ErrorQueue::reason()};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
  if (SSL_CTX_set_cipher_list(context.get(), kCiphers) != 1) {
    return Error{ErrorCode::kInvalid, "OpenSSL has no ciphers" + ErrorQueue::reason()};
  }
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  if (!tls.ca.empty()) {
    if (SSL_CTX_load_verify_file(context.get(), tls.ca.c_str()) != 1) return notTaken(tls.ca);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  if (!tls.certificate.empty()) {
    if (auto used = useCertificate(context.get(), tls); !used) return used.error();
  }
  return std::shared_ptr<const DialledContext>(
      new DialledContext(context.release(), tls.fingerprints, !tls.ca.empty()));
}

DialledContext::~DialledContext() { SSL_CTX_free(context_); }

DialledStream::DialledStream(UniqueFd socket, std::shared_ptr<const DialledContext> context,
                             const std::string& name)
    : socket_(std::move(socket)), context_(std::move(context)) {
  if (!context_) return;
  const ErrorQueue errors;
  ssl_ = SSL_new(context_->context_);
  if (ssl_ == nullptr || SSL_set_fd(ssl_, socket_.get()) != 1) throw std::bad_alloc();
  SSL_set_connect_state(ssl_);
  SSL_set_msg_callback(ssl_, onMessage);
  SSL_set_msg_callback_arg(ssl_, this);
  // RFC 6066: an address is no server name.
  const bool isAddress = IpAddress::parse(name).has_value();
  if (!name.empty() && !isAddress) {
    // OpenSSL's macro for it casts as C does.
    SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(name.c_str()));
  }
  if (!context_->hasCa_ || name.empty()) return;
  X509_VERIFY_PARAM* rules = SSL_get0_param(ssl_);
  if (isAddress) {
    X509_VERIFY_PARAM_set1_ip_asc(rules, name.c_str());
  } else {
    X509_VERIFY_PARAM_set1_host(rules, name.c_str(), 0);
  }
}

DialledStream::~DialledStream() { SSL_free(ssl_); }

void DialledStream::onMessage(int isOurs, int version, int type, const void* bytes,
                              std::size_t size, SSL*, void* stream) {
  if (isOurs != 0) return;
  auto& self = *static_cast<DialledStream*>(stream);
  if (type == SSL3_RT_HEADER) return self.onRecord();
  const bool isCheap = type != SSL3_RT_HANDSHAKE ||
                       isCheapToParse({static_cast<const char*>(bytes), size},
                                      version == TLS1_3_VERSION, kCertificatesOfCapsules);
  if (isCheap) return;
  self.costly_ = true;
  // As TlsTransport: OpenSSL parses this next, and shall not.
  std::memset(static_cast<char*>(const_cast<void*>(bytes)) + kMessageHeader,  // NOLINT
              0xFF, size - kMessageHeader);
}

/// After too many without data OpenSSL finds no socket to read from.
void DialledStream::onRecord() {
  if (++fruitless_ > kMostFruitlessRecords) BIO_set_fd(SSL_get_rbio(ssl_), -1, BIO_NOCLOSE);
}

DialledStream::State DialledStream::fail(std::string why) {
  fault_ = std::move(why);
  return State::kFailed;
}

DialledStream::Moved DialledStream::sendPlain(std::string_view bytes) {
  const ssize_t sent =
      ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return {State::kDone, static_cast<std::size_t>(sent)};
  if (errno == EAGAIN || errno == EINTR) return {State::kBlocked, 0};
  return {fail(std::string("broke the connection (") + ::strerrordesc_np(errno) + ")"), 0};
}

DialledStream::State DialledStream::handshake() {
  if (ssl_ == nullptr || shaken_) return State::kDone;
  const ErrorQueue errors;
  const int result = SSL_do_handshake(ssl_);
  if (result != 1) {
    const long verdict = SSL_get_verify_result(ssl_);
    if (context_->hasCa_ && verdict != X509_V_OK) {
      return fail(std::string("its certificate is not accepted: ") +
                  X509_verify_cert_error_string(verdict));
    }
    const Moved moved = outcomeOf(result);
    if (moved.state == State::kFailed) fault_ = "in the TLS handshake it " + fault_;
    return moved.state == State::kEnded ? fail("in the TLS handshake it closed the connection")
                                        : moved.state;
  }
  if (!isKnown()) return State::kFailed;
  shaken_ = true;
  return State::kDone;
}

bool DialledStream::isKnown() {
  if (context_->fingerprints_.empty()) return true;
  const X509* certificate = SSL_get0_peer_certificate(ssl_);
  const std::string own = certificate == nullptr ? "" : certificateFingerprint(certificate);
  const std::string key = certificate == nullptr ? "" : publicKeyFingerprint(certificate);
  const bool listed = std::ranges::any_of(context_->fingerprints_, [&](const std::string& known) {
    return known == own || known == key;
  });
  if (!listed) fail("its certificate, SHA-256 " + own + ", is not among fingerprints");
  return listed;
}

DialledStream::Moved DialledStream::outcomeOf(int result) {
  if (fruitless_ > kMostFruitlessRecords) return {fail("sends records without data"), 0};
  if (costly_) return {fail("sends too many certificates, or keys that nobody has"), 0};
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {State::kBlocked, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {State::kEnded, 0};
    case SSL_ERROR_SYSCALL:
      return {fail(std::string("broke the connection (") + ::strerrordesc_np(errno) + ")"), 0};
    default:
      return {fail("broke the connection" + ErrorQueue::reason()), 0};
  }
}

DialledStream::Moved DialledStream::send(std::string_view bytes) {
  if (ssl_ == nullptr) return sendPlain(bytes);
  const ErrorQueue errors;
  std::size_t written = 0;
  const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written);
  return result == 1 ? Moved{State::kDone, written} : outcomeOf(result);
}

DialledStream::Moved DialledStream::receive(std::span<char> room) {
  if (ssl_ == nullptr) {
    const ssize_t got = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (got > 0) return {State::kDone, static_cast<std::size_t>(got)};
    if (got == 0) return {State::kEnded, 0};
    if (errno == EAGAIN || errno == EINTR) return {State::kBlocked, 0};
    return {fail(std::string("broke the connection (") + ::strerrordesc_np(errno) + ")"), 0};
  }
  const ErrorQueue errors;
  std::size_t got = 0;
  const int result = SSL_read_ex(ssl_, room.data(), room.size(), &got);
  if (result != 1) return outcomeOf(result);
  fruitless_ = 0;
  return {State::kDone, got};
}

}  // namespace egalaxyd
