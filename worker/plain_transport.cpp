#include "worker/plain_transport.h"

#include <sys/socket.h>

#include <cerrno>

namespace egalaxyd {

PlainTransport::~PlainTransport() {
  if (!socket_ || (ended_ && held_.empty())) return;
  const linger reset{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

IoResult PlainTransport::read(std::span<char> into) {
  ssize_t got = 0;
  do {
    got = ::recv(socket_.get(), into.data(), into.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got > 0) return {IoStatus::kDone, static_cast<std::size_t>(got)};
  if (got == 0) return {IoStatus::kEnd};
  return {errno == EAGAIN ? IoStatus::kBlocked : IoStatus::kFailed};
}

/// Straight to the socket: nothing is held back in most answers.
void PlainTransport::write(std::string_view bytes) {
  bytes.remove_prefix(push(bytes));
  held_ = bytes;
}

void PlainTransport::writeLast(std::string_view bytes) {
  ended_ = true;
  write(bytes);
}

IoResult PlainTransport::send() {
  if (!held_.empty()) {
    held_.erase(0, push(held_));
    if (held_.empty()) dropBuffer(held_);
  }
  const std::size_t sent = std::exchange(untold_, 0);
  if (failed_) return {IoStatus::kFailed, sent};
  return {held_.empty() ? IoStatus::kDone : IoStatus::kBlocked, sent};
}

/// How much of `bytes` the socket took.
std::size_t PlainTransport::push(std::string_view bytes) {
  std::size_t sent = 0;
  // The FIN fills the last segment, and wakes the client once for both.
  const int flags = MSG_NOSIGNAL | (ended_ ? MSG_MORE : 0);
  while (sent < bytes.size()) {
    const ssize_t took = ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, flags);
    if (took < 0 && errno == EINTR) continue;
    failed_ = took < 0 && errno != EAGAIN;
    if (took < 0) break;
    sent += static_cast<std::size_t>(took);
  }
  untold_ += sent;
  return sent;
}

}  // namespace egalaxyd
