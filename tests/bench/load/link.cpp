#include "load/link.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace egalaxyd::load {
namespace {

[[noreturn]] void die(const char* doing) {
  std::perror(doing);
  std::exit(71);
}

void bindSource(int fd, int source) {
  const int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + static_cast<std::uint32_t>(source));
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
}

/// SSL_set_tlsext_host_name() without the macro's cast.
void setServerName(SSL* ssl, const std::string& host) {
  SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
           const_cast<char*>(host.c_str()));
}

}  // namespace

std::uint64_t nowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

void Link::open(const Target& target, int epoll, void* tag, int source, int receiveBuffer,
                bool nagle) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) die("socket");
  // Finished and the request are two small writes; Nagle waits between them for the server's
  // kernel to acknowledge the first.
  const int on = nagle ? 0 : 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (source > 0) bindSource(fd_, source);
  if (receiveBuffer > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, sizeof receiveBuffer);
  }
  const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
  // A refusal that is known at once shows in SO_ERROR's place: keep it for connected().
  failure_ = Outcome::kReset;
  if (connect(fd_, address, sizeof target.address) != 0 && errno != EINPROGRESS) {
    if (errno != ECONNREFUSED) die("connect");
    failure_ = Outcome::kRefused;
  }
  epoll_event event{EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {tag}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd_, &event) != 0) die("epoll_ctl");
}

void Link::close() {
  if (fd_ < 0) return;
  SSL_free(ssl_);
  ssl_ = nullptr;
  ::close(fd_);
  fd_ = -1;
}

Io Link::connected() {
  if (failure_ == Outcome::kRefused) return Io::kFailed;
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error == ECONNREFUSED) return fail(Outcome::kRefused);
  if (error == ETIMEDOUT) return fail(Outcome::kTimeout);
  if (error != 0) return fail(Outcome::kReset);
  sockaddr_in peer{};
  length = sizeof peer;
  return getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &length) == 0 ? Io::kDone : Io::kWait;
}

void Link::startTls(SSL_CTX* context, const std::string& host) {
  ssl_ = SSL_new(context);
  SSL_set_fd(ssl_, fd_);
  setServerName(ssl_, host);
  SSL_set_connect_state(ssl_);
}

void Link::prepareTls(SSL_CTX* context, const std::string& host) {
  ssl_ = SSL_new(context);
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  setServerName(ssl_, host);
  SSL_set_connect_state(ssl_);
  SSL_do_handshake(ssl_);
  ERR_clear_error();
}

void Link::sendHello() {
  char* hello = nullptr;
  const auto bytes = BIO_get_mem_data(SSL_get_wbio(ssl_), &hello);
  ::send(fd_, hello, static_cast<std::size_t>(bytes), MSG_NOSIGNAL);  // an empty socket takes it
  SSL_set_fd(ssl_, fd_);
}

Io Link::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  return result == 1 ? Io::kDone : classify(result);
}

Io Link::write(std::string_view bytes, std::size_t& done) {
  ERR_clear_error();
  if (ssl_) {
    const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &done);
    return result == 1 ? Io::kDone : classify(result);
  }
  const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN ? Io::kWait : fail(Outcome::kReset);
  done = static_cast<std::size_t>(sent);
  return Io::kDone;
}

Io Link::read(char* into, std::size_t room, std::size_t& got) {
  ERR_clear_error();
  if (ssl_) {
    const int result = SSL_read_ex(ssl_, into, room, &got);
    return result == 1 ? Io::kDone : classify(result);
  }
  const ssize_t bytes = ::recv(fd_, into, room, 0);
  if (bytes < 0) return errno == EAGAIN ? Io::kWait : fail(Outcome::kReset);
  if (bytes == 0) return Io::kEnd;
  got = static_cast<std::size_t>(bytes);
  return Io::kDone;
}

Io Link::classify(int result) {
  const int systemError = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Io::kWait;
    case SSL_ERROR_ZERO_RETURN:
      return Io::kEnd;
    case SSL_ERROR_SYSCALL:
      return fail(systemError == ETIMEDOUT ? Outcome::kTimeout : Outcome::kReset);
    default:
      break;
  }
  if (ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return fail(Outcome::kTls);
  }
  return SSL_is_init_finished(ssl_) ? Io::kCut : fail(Outcome::kReset);
}

Io Link::fail(Outcome outcome) {
  failure_ = outcome;
  return Io::kFailed;
}

SSL_CTX* makeClientContext() {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

std::string halfClientHello(SSL_CTX* context, const std::string& host) {
  SSL* ssl = SSL_new(context);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, in, out);
  setServerName(ssl, host);
  SSL_set_connect_state(ssl);
  SSL_do_handshake(ssl);
  char hello[4096];
  const int bytes = BIO_read(out, hello, sizeof hello);
  SSL_free(ssl);
  ERR_clear_error();
  return std::string(hello, bytes > 0 ? static_cast<std::size_t>(bytes) / 2 : 0);
}

}  // namespace egalaxyd::load
