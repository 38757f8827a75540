#include "worker/transport/tls_transport.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"
#include "common/wire/host_name.h"
#include "worker/protocol/handshake_guard.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kLongRecord = 8 * 1024;
/// RFC 8446, section 5.1: what one record takes.
constexpr std::size_t kFullRecord = 16 * 1024;
/// Records without data that a client may send: in the handshake, where a usual one takes six, and
/// later, where key updates, alerts and empty records need no answer of ours but cost us time.
constexpr std::size_t kMaxHandshakeRecords = 64;
constexpr std::size_t kMaxFruitlessRecords = 16;

/// The names of the alerts (RFC 8446, section 6) that are about a certificate.
std::string_view refusalOf(int alert) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
      return "bad_certificate";
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
      return "unsupported_certificate";
    case SSL_AD_CERTIFICATE_REVOKED:
      return "certificate_revoked";
    case SSL_AD_CERTIFICATE_EXPIRED:
      return "certificate_expired";
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return "certificate_unknown";
    case SSL_AD_UNKNOWN_CA:
      return "unknown_ca";
    default:
      return "";
  }
}

}  // namespace

TlsIo::TlsIo() : method_(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "egalaxyd")) {
  if (method_ == nullptr) throw std::bad_alloc();
  BIO_meth_set_ctrl(method_, [](BIO* bio, int command, long, void*) -> long {
    if (command == BIO_CTRL_EOF) return static_cast<TlsTransport*>(BIO_get_data(bio))->ended_;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  });
  BIO_meth_set_create(method_, [](BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  });
  BIO_meth_set_read(method_, [](BIO* bio, char* into, int size) {
    BIO_clear_retry_flags(bio);
    auto& transport = *static_cast<TlsTransport*>(BIO_get_data(bio));
    if (transport.tooManyRecords()) return -1;  // not to be retried: SSL_read_ex and others fail
    const int got = transport.receive(into, size);
    if (got < 0) BIO_set_retry_read(bio);
    return got;
  });
  BIO_meth_set_write(method_, [](BIO* bio, const char* from, int size) {
    try {
      return static_cast<TlsTransport*>(BIO_get_data(bio))->append(from, size);
    } catch (const std::bad_alloc&) {
      return -1;  // no exception passes through OpenSSL
    }
  });
}

TlsIo::~TlsIo() { BIO_meth_free(method_); }

TlsTransport::TlsTransport(UniqueFd socket, TlsIo& io, SSL_CTX* context)
    : socket_(std::move(socket)), outbox_(socket_.get()), io_(io), ssl_(SSL_new(context)) {
  BIO* bio = ssl_ == nullptr ? nullptr : BIO_new(io_.method_);
  if (bio == nullptr) {
    SSL_free(ssl_);
    throw std::bad_alloc();
  }
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_accept_state(ssl_);
  SSL_set_msg_callback(ssl_, onMessage);
  SSL_set_msg_callback_arg(ssl_, this);
}

TlsTransport::~TlsTransport() { SSL_free(ssl_); }

IoResult TlsTransport::handshake() {
  ERR_clear_error();  // another connection's error is not ours
  const int returned = SSL_do_handshake(ssl_);
  keepUnread();
  const IoStatus status = returned == 1 ? IoStatus::kDone : classify(returned);
  if (status == IoStatus::kFailed) fail();
  const IoResult sent = send();  // an alert too
  if (sent.status == IoStatus::kFailed || status != IoStatus::kDone) {
    return {sent.status == IoStatus::kFailed ? IoStatus::kFailed : status};
  }
  handshaken_ = true;
  fruitless_ = 0;
  learnPeer();
  return {IoStatus::kDone};
}

IoResult TlsTransport::read(std::span<char> into) {
  ERR_clear_error();
  std::size_t got = 0;
  const int returned = SSL_read_ex(ssl_, into.data(), into.size(), &got);
  keepUnread();
  if (!outbox_.empty()) static_cast<void>(send());  // an alert, or an answer to a key update
  if (returned == 1) {
    if (fruitless_ > 0) --fruitless_;  // its record was counted by its header
    return {IoStatus::kDone, got};
  }
  const IoStatus status = classify(returned);
  if (status == IoStatus::kFailed) fail();
  return {status};
}

void TlsTransport::write(std::string_view bytes) { encrypt(bytes, false); }

void TlsTransport::writeLast(std::string_view bytes) {
  encrypt(bytes, true);
  if (failed_ || outbox_.failed()) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
}

void TlsTransport::encrypt(std::string_view bytes, bool last) {
  ERR_clear_error();
  outbox_.moreFollows(last);
  const bool isLong = bytes.size() >= kLongRecord;
  // 128: for the overhead of records and close_notify. A long chunk is not held back.
  if (!isLong) outbox_.reserve(bytes.size() + 128);
  while (!bytes.empty() && !failed_ && !outbox_.failed()) {
    const std::string_view record = bytes.substr(0, kFullRecord);
    bytes.remove_prefix(record.size());
    outbox_.moreFollows(last || !bytes.empty());
    // The BIO takes everything, so this cannot fail with SSL_ERROR_WANT_WRITE.
    std::size_t taken = 0;
    if (SSL_write_ex(ssl_, record.data(), record.size(), &taken) != 1) failed_ = true;
  }
  // SSL_MODE_RELEASE_BUFFERS keeps the buffer of the last record, 16 KiB, for as long as a client
  // does not read.
  if (isLong) SSL_free_buffers(ssl_);
}

IoResult TlsTransport::send() {
  const IoResult sent = outbox_.send();
  return {failed_ ? IoStatus::kFailed : sent.status, sent.bytes};
}

/// The + 1 is for the record that is being read, which may yet bring data.
bool TlsTransport::tooManyRecords() const {
  return fruitless_ > (handshaken_ ? kMaxFruitlessRecords + 1 : kMaxHandshakeRecords);
}

/// OpenSSL calls this for the header of each record and for each handshake message, the latter
/// before it parses it.
void TlsTransport::onMessage(int sent, int version, int type, const void* bytes, std::size_t size,
                             SSL*, void* transport) {
  if (sent != 0) return;
  if (type == SSL3_RT_HEADER) ++static_cast<TlsTransport*>(transport)->fruitless_;
  if (type != SSL3_RT_HANDSHAKE) return;
  if (isCheapToParse({static_cast<const char*>(bytes), size}, version == TLS1_3_VERSION)) return;
  spoil(bytes, size);
}

int TlsTransport::receive(char* into, int size) {
  if (arrived_.empty()) {
    if (unread_.empty()) {
      if (drained_) return -1;
      ssize_t got = 0;
      do {
        got = ::recv(socket_.get(), io_.inbox_.data(), io_.inbox_.size(), 0);
      } while (got < 0 && errno == EINTR);
      if (got < 0 && errno == EAGAIN) return -1;
      ended_ = got <= 0;  // a reset ends the stream as a FIN does
      if (ended_) return 0;
      arrived_ = std::string_view(io_.inbox_.data(), static_cast<std::size_t>(got));
      drained_ = arrived_.size() < io_.inbox_.size();
    } else {
      std::copy(unread_.begin(), unread_.end(), io_.inbox_.begin());
      arrived_ = std::string_view(io_.inbox_.data(), unread_.size());
      dropBuffer(unread_);
    }
  }
  const std::size_t given = std::min(arrived_.size(), static_cast<std::size_t>(size));
  std::memcpy(into, arrived_.data(), given);
  arrived_.remove_prefix(given);
  return static_cast<int>(given);
}

/// A short record is held back, to leave together with the next; a long one is not copied.
int TlsTransport::append(const char* from, int size) {
  const std::string_view bytes(from, static_cast<std::size_t>(size));
  bytes.size() < kLongRecord ? outbox_.hold(bytes) : outbox_.write(bytes);
  return size;
}

void TlsTransport::keepUnread() {
  if (!arrived_.empty()) unread_ = std::string(arrived_);
  arrived_ = {};
  drained_ = false;
}

IoStatus TlsTransport::classify(int returned) const {
  switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_READ:
      return IoStatus::kBlocked;
    case SSL_ERROR_ZERO_RETURN:
      return IoStatus::kEnd;
    default:
      return IoStatus::kFailed;
  }
}

TlsFacts TlsTransport::tls() const {
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl_);
  return {SSL_get_version(ssl_), SSL_CIPHER_get_name(cipher), SSL_CIPHER_get_bits(cipher, nullptr)};
}

/// A client that does not want our certificate says so by an alert, which OpenSSL reports as the
/// reason of the failure. With TLS 1.3 it may come after the handshake.
void TlsTransport::fail() {
  failed_ = true;
  const unsigned long error = ERR_peek_error();
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return;
  refusal_ = refusalOf(ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET);
  if (!refusal_.empty()) learnServerName();
}

void TlsTransport::learnServerName() {
  if (const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name); name != nullptr) {
    serverName_ = canonicalHost(name).value_or(name);
  }
}

void TlsTransport::learnPeer() {
  learnServerName();
  const X509* certificate = SSL_get0_peer_certificate(ssl_);
  if (certificate == nullptr) return;
  identity_ = std::make_shared<const ClientIdentity>(ClientIdentity{
      .fingerprint = certificateFingerprint(certificate),
      .keyFingerprint = publicKeyFingerprint(certificate),
      .subject = certificateSubject(certificate),
      .commonName = certificateCommonName(certificate),
      .notBefore = certificateNotBefore(certificate),
      .notAfter = certificateNotAfter(certificate),
      .certificate = std::shared_ptr<const X509>(SSL_get1_peer_certificate(ssl_), X509Free())});
  // Out of memory, the fingerprint is empty: no client may become the user without a name.
  if (identity_->fingerprint.empty()) throw std::bad_alloc();
}

}  // namespace egalaxyd
