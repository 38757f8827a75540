#include "tests/support/gemini_client.h"
#include "common/tls/certificate_names.h"

#include <openssl/err.h>

#include <cctype>
#include <ostream>
#include <stdexcept>

namespace egalaxyd {
namespace {

int countTicket(SSL* ssl, SSL_SESSION* session) {
  if (SSL_SESSION_has_ticket(session) == 1) {
    ++*static_cast<int*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  }
  return 0;  // not kept
}

void check(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string("cannot set ") + what);
}

SSL_CTX* makeContext(const TlsSettings& settings, int* tickets) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  check(context != nullptr, "a TLS context up");
  SSL_CTX_set_min_proto_version(context, settings.minVersion);
  SSL_CTX_set_max_proto_version(context, settings.maxVersion);
  // Old versions and short keys are ours to offer; whether to take them is the server's decision.
  check(SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0") == 1, "the ciphers");
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_app_data(context, tickets);
  SSL_CTX_sess_set_new_cb(context, countTicket);
  if (!settings.groups.empty()) {
    check(SSL_CTX_set1_groups_list(context, settings.groups.c_str()) == 1, "the groups");
  }
  if (settings.certificate != nullptr) {
    check(SSL_CTX_use_certificate(context, settings.certificate->certificate.get()) == 1 &&
              SSL_CTX_use_PrivateKey(context, settings.certificate->key.get()) == 1,
          "the client's certificate");
  }
  return context;
}

/// SSL_set_tlsext_host_name without its C cast.
void setServerName(SSL* ssl, std::string name) {
  SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
}

Reply parseReply(std::string bytes) {
  Reply reply;
  const auto end = bytes.find("\r\n");
  if (end == std::string::npos) {
    reply.header = std::move(bytes);
    return reply;
  }
  reply.header = bytes.substr(0, end);
  reply.body = bytes.substr(end + 2);
  const bool digits = end >= 2 && std::isdigit(static_cast<unsigned char>(bytes[0])) != 0 &&
                      std::isdigit(static_cast<unsigned char>(bytes[1])) != 0;
  if (digits && (end == 2 || bytes[2] == ' ')) {
    reply.status = (bytes[0] - '0') * 10 + (bytes[1] - '0');
    reply.meta = end > 3 ? reply.header.substr(3) : "";
  }
  return reply;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Reply& reply) {
  out << '"' << reply.header << "\", " << reply.body.size() << " bytes of body, "
      << (reply.closeNotify ? "close_notify" : "no close_notify") << ", TCP "
      << describe(reply.ending);
  if (!reply.handshake) out << ", no handshake";
  if (!reply.error.empty()) out << ", " << reply.error;
  return out;
}

GeminiClient::GeminiClient(std::uint16_t port, const TlsSettings& settings)
    : segment_(settings.segment),
      tcp_(port, settings.tcp),
      tickets_(std::make_unique<int>(0)),
      context_(makeContext(settings, tickets_.get())),
      ssl_(SSL_new(context_.get())),
      fromServer_(BIO_new(BIO_s_mem())),
      toServer_(BIO_new(BIO_s_mem())) {
  BIO_set_mem_eof_return(fromServer_, -1);
  SSL_set_bio(ssl_.get(), fromServer_, toServer_);
  SSL_set_connect_state(ssl_.get());
  if (settings.serverName) setServerName(ssl_.get(), *settings.serverName);
  if (settings.resume != nullptr) SSL_set_session(ssl_.get(), settings.resume);
}

void GeminiClient::noteError(const char* doing) {
  const unsigned long code = ERR_peek_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  if (!error_.empty()) return;  // the first says why
  error_ = std::string(doing) + ": " + (reason == nullptr ? describe(tcp_.ending()) : reason);
}

bool GeminiClient::flush() {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(toServer_, &bytes);
  std::string_view rest(bytes, static_cast<std::size_t>(size));
  bool sent = true;
  while (!rest.empty() && sent) {
    const std::string_view part = rest.substr(0, segment_ == 0 ? rest.size() : segment_);
    sent = tcp_.send(part);
    rest.remove_prefix(part.size());
  }
  static_cast<void>(BIO_reset(toServer_));
  return sent;
}

bool GeminiClient::pull(const Deadline& deadline) {
  const std::string bytes = tcp_.receive(deadline);
  if (bytes.empty()) return false;
  BIO_write(fromServer_, bytes.data(), static_cast<int>(bytes.size()));
  return true;
}

bool GeminiClient::handshake() {
  const Deadline deadline;
  while (true) {
    ERR_clear_error();
    const int rc = SSL_do_handshake(ssl_.get());
    const int why = SSL_get_error(ssl_.get(), rc);
    if (rc != 1 && why != SSL_ERROR_WANT_READ) noteError("handshake");
    flush();
    if (rc == 1) return handshaken_ = true;
    if (why != SSL_ERROR_WANT_READ) return false;
    if (!pull(deadline)) {
      noteError("handshake");
      return false;
    }
  }
}

std::string GeminiClient::takeHello() {
  SSL_do_handshake(ssl_.get());
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(toServer_, &bytes);
  std::string hello(bytes, static_cast<std::size_t>(size));
  static_cast<void>(BIO_reset(toServer_));
  return hello;
}

bool GeminiClient::send(std::string_view bytes) {
  ERR_clear_error();
  std::size_t written = 0;
  if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) != 1) {
    noteError("send");
    return false;
  }
  return flush();
}

bool GeminiClient::sendByByte(std::string_view bytes) {
  for (const char byte : bytes) {
    if (!send({&byte, 1})) return false;
  }
  return true;
}

void GeminiClient::closeNotify() {
  SSL_shutdown(ssl_.get());
  flush();
}

bool GeminiClient::renegotiate() {
  if (SSL_renegotiate(ssl_.get()) != 1) return false;
  return handshake() && SSL_renegotiate_pending(ssl_.get()) == 0;
}

std::string GeminiClient::read(std::size_t most, const Deadline& deadline) {
  std::string into(most, '\0');
  while (true) {
    ERR_clear_error();
    std::size_t got = 0;
    const int rc = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
    if (rc == 1) {
      into.resize(got);
      return into;
    }
    const int why = SSL_get_error(ssl_.get(), rc);
    flush();  // alerts and key updates
    if (why == SSL_ERROR_ZERO_RETURN) {
      closeNotify_ = true;
      return {};
    }
    if (why != SSL_ERROR_WANT_READ) {
      noteError("read");
      return {};
    }
    if (!pull(deadline)) return {};
  }
}

Reply GeminiClient::readReply(std::string already, const Deadline& deadline) {
  std::string all = std::move(already);
  for (std::string part = read(65536, deadline); !part.empty(); part = read(65536, deadline)) {
    all += part;
  }
  // What follows close_notify tells how the server let go of the socket.
  if (closeNotify_) tcp_.receiveAll(deadline);
  Reply reply = parseReply(std::move(all));
  reply.handshake = handshaken_;
  reply.closeNotify = closeNotify_;
  reply.ending = tcp_.ending();
  reply.error = error_;
  return reply;
}

std::string GeminiClient::serverFingerprint() const {
  const X509* certificate = serverCertificate();
  return certificate == nullptr ? "" : certificateFingerprint(certificate);
}

Reply exchange(std::uint16_t port, std::string_view line, const TlsSettings& settings) {
  GeminiClient client(port, settings);
  if (client.handshake()) client.send(line);
  return client.readReply();
}

Reply fetch(std::uint16_t port, std::string_view url, const TlsSettings& settings) {
  return exchange(port, std::string(url) + "\r\n", settings);
}

}  // namespace egalaxyd
