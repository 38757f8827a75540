#include "master/launcher/dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

/// A Unix socket whose queue is full says so at once, and again until somebody is accepted.
constexpr std::chrono::milliseconds kUntilQueueHasRoom{20};

}  // namespace

Dial::Dial(EventLoop& loop, std::string name, std::vector<SocketAddress> addresses, Done done)
    : name_(std::move(name)),
      addresses_(std::move(addresses)),
      done_(std::move(done)),
      watch_(loop, [this](IoEvents) { onReady(); }),
      deadline_(loop, [this] { finish(errnoError("connect to " + name_, ETIMEDOUT)); }),
      step_(loop, [this] { tryNext(); }) {}

void Dial::start(std::chrono::milliseconds timeout) {
  deadline_.setAfter(timeout);
  step_.setAfter({});
}

void Dial::tryNext() {
  const SocketAddress& to = addresses_[next_];
  const int family = to.storage.ss_family;
  watch_.stop();
  socket_.reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) return fail(errno);
  if (family != AF_UNIX) {
    const int on = 1;  // a worker's sandbox sets no more than it must
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  const auto* address = reinterpret_cast<const sockaddr*>(&to.storage);
  if (::connect(socket_.get(), address, to.size) == 0) return finish(std::move(socket_));
  if (errno == EAGAIN) return step_.setAfter(kUntilQueueHasRoom);
  if (errno != EINPROGRESS) return fail(errno);
  if (!watch_.start(socket_.get(), WatchMode::kEdge)) return fail(ENOMEM);
  watch_.wantRoom();
}

void Dial::onReady() {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return fail(error);
  sockaddr_storage peer{};
  size = sizeof peer;
  auto* address = reinterpret_cast<sockaddr*>(&peer);
  if (::getpeername(socket_.get(), address, &size) != 0) return;  // not yet
  watch_.stop();
  finish(std::move(socket_));
}

void Dial::fail(int errnoValue) {
  watch_.stop();
  if (++next_ < addresses_.size()) return step_.setAfter({});
  finish(errnoError("connect to " + name_, errnoValue));
}

void Dial::finish(Result<UniqueFd> result) {
  watch_.stop();
  step_.cancel();
  deadline_.cancel();
  done_(std::move(result));
}

}  // namespace egalaxyd
