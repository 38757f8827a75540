#include "worker/transport/outbox.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace egalaxyd {

void Outbox::write(std::string_view bytes) {
  flush();
  if (held_.empty()) bytes.remove_prefix(push(bytes));
  hold(bytes);
}

IoResult Outbox::send() {
  flush();
  const std::size_t sent = std::exchange(untold_, 0);
  if (failed_) return {IoStatus::kFailed, sent};
  return {held_.empty() ? IoStatus::kDone : IoStatus::kBlocked, sent};
}

void Outbox::flush() {
  if (held_.empty()) return;
  held_ = held_.substr(push(held_));
  if (held_.empty()) dropBuffer(held_);
}

/// Returns how much of `bytes` the socket took.
std::size_t Outbox::push(std::string_view bytes) {
  // MSG_MORE: what follows fills the last segment, and the client is woken once for all.
  const int flags = MSG_NOSIGNAL | (moreFollows_ ? MSG_MORE : 0);
  std::size_t sent = 0;
  while (sent < bytes.size() && !failed_) {
    const ssize_t took = ::send(socket_, bytes.data() + sent, bytes.size() - sent, flags);
    if (took < 0 && errno == EINTR) continue;
    if (took < 0 && errno == EAGAIN) break;
    failed_ = took < 0;
    if (!failed_) sent += static_cast<std::size_t>(took);
  }
  untold_ += sent;
  return sent;
}

}  // namespace egalaxyd
