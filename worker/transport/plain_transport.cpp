#include "worker/transport/plain_transport.h"

#include <sys/socket.h>

#include <cerrno>

namespace egalaxyd {

PlainTransport::~PlainTransport() {
  if (!socket_ || (ended_ && outbox_.empty())) return;
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

void PlainTransport::writeLast(std::string_view bytes) {
  ended_ = true;
  outbox_.moreFollows(true);
  outbox_.write(bytes);
}

}  // namespace egalaxyd
