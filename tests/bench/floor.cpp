// The floor that egalaxyd is measured against: a bare OpenSSL epoll server with the TLS settings of
// egalaxyd and nothing else. One file, one answer to every request line; no parsing, no deadlines,
// no limits, no log. Plain calls on purpose: it shows what TLS, sockets and one file cost.
#include <fcntl.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "bare.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kChunkBytes = 16 * 1024;
constexpr std::size_t kMaxLineBytes = 1026;

struct Options {
  int gemini = 0;
  int spartan = 0;
  int workers = 1;
  const char* certificate = nullptr;
  const char* key = nullptr;
  const char* file = nullptr;
  bool stock = false;  ///< OpenSSL's own order of ciphers
};

/// A listener or a client; clients are made by accept() and freed by finish().
struct Peer {
  int fd = -1;
  bool isClient = false;
  bool tls = false;
  SSL* ssl = nullptr;
  std::uint32_t events = EPOLLIN;
  std::size_t lineBytes = 0;
  std::array<char, kMaxLineBytes> line;
  int file = -1;
  std::unique_ptr<char[]> chunk;  ///< made when the answer begins
  std::size_t chunkBytes = 0;
  std::size_t chunkSent = 0;
};

class Floor {
 public:
  Floor(const Options& options, SSL_CTX* context)
      : options_(options), context_(context), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

  void listen(int fd, bool tls) {
    Peer& peer = listeners_.at(tls ? 0 : 1);
    peer.fd = fd;
    peer.tls = tls;
    epoll_event event{EPOLLIN | EPOLLEXCLUSIVE, {&peer}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        auto* peer = static_cast<Peer*>(events.at(static_cast<std::size_t>(i)).data.ptr);
        if (!peer->isClient) {
          accept(*peer);
        } else if (!advance(*peer)) {
          finish(peer);
        }
      }
    }
  }

 private:
  void accept(const Peer& listener) {
    for (;;) {
      const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      auto* peer = new Peer;
      peer->fd = fd;
      peer->isClient = true;
      peer->tls = listener.tls;
      if (peer->tls) {
        peer->ssl = SSL_new(context_);
        SSL_set_fd(peer->ssl, fd);
        SSL_set_accept_state(peer->ssl);
      }
      epoll_event event{EPOLLIN, {peer}};
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
    }
  }

  /// Does what can be done now; false: done or failed.
  bool advance(Peer& peer) {
    while (!peer.chunk) {
      const ssize_t got = receive(peer);
      if (got <= 0) return wait(peer, got);
      peer.lineBytes += static_cast<std::size_t>(got);
      if (std::memchr(peer.line.data(), '\n', peer.lineBytes)) {
        if (!begin(peer)) return false;
      } else if (peer.lineBytes == peer.line.size()) {
        return false;
      }
    }
    for (;;) {
      while (peer.chunkSent < peer.chunkBytes) {
        const ssize_t sent = send(peer);
        if (sent <= 0) return wait(peer, sent);
        peer.chunkSent += static_cast<std::size_t>(sent);
      }
      const ssize_t got = ::read(peer.file, peer.chunk.get(), kChunkBytes);
      if (got <= 0) break;
      peer.chunkBytes = static_cast<std::size_t>(got);
      peer.chunkSent = 0;
    }
    if (peer.ssl) SSL_shutdown(peer.ssl);
    return false;
  }

  /// Header and the file's beginning share the first chunk.
  bool begin(Peer& peer) {
    const std::string_view header = peer.tls ? "20 text/gemini\r\n" : "2 text/gemini\r\n";
    peer.file = ::open(options_.file, O_RDONLY | O_CLOEXEC);
    if (peer.file < 0) return false;
    peer.chunk.reset(new char[kChunkBytes]);
    std::memcpy(peer.chunk.get(), header.data(), header.size());
    const ssize_t got =
        ::read(peer.file, peer.chunk.get() + header.size(), kChunkBytes - header.size());
    if (got < 0) return false;
    peer.chunkBytes = header.size() + static_cast<std::size_t>(got);
    return true;
  }

  static ssize_t receive(Peer& peer) {
    char* into = peer.line.data() + peer.lineBytes;
    const std::size_t room = peer.line.size() - peer.lineBytes;
    return peer.ssl ? SSL_read(peer.ssl, into, static_cast<int>(room))
                    : ::recv(peer.fd, into, room, 0);
  }

  static ssize_t send(Peer& peer) {
    const char* from = peer.chunk.get() + peer.chunkSent;
    const std::size_t bytes = peer.chunkBytes - peer.chunkSent;
    return peer.ssl ? SSL_write(peer.ssl, from, static_cast<int>(bytes))
                    : ::send(peer.fd, from, bytes, MSG_NOSIGNAL);
  }

  /// After a call that moved nothing: true when the socket will say that it can go on.
  bool wait(Peer& peer, ssize_t result) const {
    std::uint32_t wanted = peer.chunk ? EPOLLOUT : EPOLLIN;
    if (peer.ssl) {
      const int error = SSL_get_error(peer.ssl, static_cast<int>(result));
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        ERR_clear_error();  // the queue is the thread's, the failure this peer's alone
        return false;
      }
      wanted = error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT;
    } else if (result == 0 || errno != EAGAIN) {
      return false;
    }
    if (wanted == peer.events) return true;
    peer.events = wanted;
    epoll_event event{wanted, {&peer}};
    return epoll_ctl(epoll_, EPOLL_CTL_MOD, peer.fd, &event) == 0;
  }

  static void finish(Peer* peer) {
    SSL_free(peer->ssl);
    ::close(peer->fd);
    if (peer->file >= 0) ::close(peer->file);
    delete peer;
  }

  const Options& options_;
  SSL_CTX* context_;
  int epoll_;
  std::array<Peer, 2> listeners_;
};

/// Keeps `count` children serving; returns in each child.
void forkWorkers(int count) {
  for (int running = 0;;) {
    for (; running < count; ++running) {
      const pid_t pid = fork();
      if (pid < 0) die("fork");
      if (pid > 0) continue;
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      return;
    }
    if (wait(nullptr) > 0) --running;
  }
}

Options parseOptions(int argc, char** argv) {
  static const option kLong[] = {
      {"gemini", required_argument, nullptr, 'g'}, {"spartan", required_argument, nullptr, 's'},
      {"cert", required_argument, nullptr, 'c'},   {"key", required_argument, nullptr, 'k'},
      {"file", required_argument, nullptr, 'f'},   {"workers", required_argument, nullptr, 'w'},
      {"stock", no_argument, nullptr, 'o'},        {nullptr, 0, nullptr, 0}};
  Options options;
  for (int c; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    switch (c) {
      case 'g':
        options.gemini = std::atoi(optarg);
        break;
      case 's':
        options.spartan = std::atoi(optarg);
        break;
      case 'c':
        options.certificate = optarg;
        break;
      case 'k':
        options.key = optarg;
        break;
      case 'f':
        options.file = optarg;
        break;
      case 'w':
        options.workers = std::atoi(optarg);
        break;
      case 'o':
        options.stock = true;
        break;
      default:
        std::exit(64);
    }
  }
  const bool complete = options.file && (options.gemini || options.spartan) &&
                        (!options.gemini || (options.certificate && options.key));
  if (!complete) {
    std::fputs(
        "egalaxyd_floor --gemini PORT --cert FILE --key FILE [--spartan PORT] --file FILE"
        " [--workers N] [--stock]\n",
        stderr);
    std::exit(64);
  }
  return options;
}

}  // namespace
}  // namespace egalaxyd

int main(int argc, char** argv) {
  using namespace egalaxyd;
  const Options options = parseOptions(argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  SSL_CTX* context = options.gemini ? makeContext(options.certificate, options.key) : nullptr;
  if (context && options.stock) {
    SSL_CTX_clear_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_ciphersuites(context, TLS_DEFAULT_CIPHERSUITES);
  }
  const int gemini = options.gemini ? openListener(options.gemini, SOCK_NONBLOCK) : -1;
  const int spartan = options.spartan ? openListener(options.spartan, SOCK_NONBLOCK) : -1;
  if (options.workers > 1) forkWorkers(options.workers);
  Floor floor(options, context);
  if (gemini >= 0) floor.listen(gemini, true);
  if (spartan >= 0) floor.listen(spartan, false);
  floor.run();
}
