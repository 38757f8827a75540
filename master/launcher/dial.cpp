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

Dial::Dial(EventLoop& loop, Done done)
    : done_(std::move(done)),
      search_(loop, [this](Result<DialTarget> target) { onFound(std::move(target)); }),
      watch_(loop, [this](IoEvents) { onReady(); }),
      deadline_(loop, [this] { finish(failed(ETIMEDOUT)); }),
      step_(loop, [this] { tryNext(); }) {}

void Dial::start(DialTarget target, std::chrono::milliseconds timeout) {
  target_ = std::move(target);
  deadline_.setAfter(timeout);
  step_.setAfter({});
}

void Dial::start(std::function<Result<DialTarget>()> find, std::chrono::milliseconds timeout) {
  deadline_.setAfter(timeout);
  if (!search_.start(std::move(find))) step_.setAfter({});
}

void Dial::onFound(Result<DialTarget> target) {
  if (!deadline_.active()) return;  // it was too late
  if (!target) return finish(std::move(target).error());
  target_ = std::move(*target);
  tryNext();
}

void Dial::tryNext() {
  if (target_.addresses.empty()) {
    return finish(Error{ErrorCode::kBusy, "too many sockets are being looked for"});
  }
  const SocketAddress& to = target_.addresses[next_];
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
  if (::connect(socket_.get(), address, to.size) == 0) return connected();
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
  connected();
}

/// Who may make a socket at a user's place is not yet who listens there: a link may lead to it.
void Dial::connected() {
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool isChecked = target_.listener.has_value();
  if (isChecked && (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
                    peer.uid != *target_.listener)) {
    return finish(
        Error{ErrorCode::kNotFound, target_.name + ": refused: who listens there is not its user"});
  }
  finish(std::move(socket_));
}

void Dial::fail(int errnoValue) {
  watch_.stop();
  if (++next_ < target_.addresses.size()) return step_.setAfter({});
  finish(failed(errnoValue));
}

Error Dial::failed(int errnoValue) const {
  return {ErrorCode::kIo, errnoError("connect to " + target_.name, errnoValue).message};
}

void Dial::finish(Result<UniqueFd> result) {
  watch_.stop();
  step_.cancel();
  deadline_.cancel();
  done_(std::move(result));
}

}  // namespace egalaxyd
