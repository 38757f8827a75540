#include "common/worker_channel.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "common/errno_error.h"

namespace egalaxyd {

Result<void> WorkerChannel::send(ChannelMessage message, std::string_view text) {
  std::string packet(1, static_cast<char>(message));
  packet.append(text.substr(0, kMaxText));
  if (::send(fd_.get(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    return errnoError("send to the other end of a worker's channel", errno);
  }
  return {};
}

WorkerChannel::Received WorkerChannel::receive() {
  using Kind = Received::Kind;
  std::array<char, 1 + kMaxText> packet;
  ssize_t got = 0;
  do {
    got = ::recv(fd_.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_TRUNC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return {errno == EAGAIN ? Kind::kNothing : Kind::kPeerGone, {}, {}};
  if (got == 0) return {Kind::kPeerGone, {}, {}};
  const auto kind = static_cast<unsigned char>(packet[0]);
  if (static_cast<std::size_t>(got) > packet.size() ||
      kind < static_cast<unsigned char>(ChannelMessage::kReady) ||
      kind > static_cast<unsigned char>(ChannelMessage::kStorage)) {
    return {Kind::kNonsense, {}, {}};
  }
  return {Kind::kMessage, static_cast<ChannelMessage>(kind),
          std::string(packet.data() + 1, static_cast<std::size_t>(got - 1))};
}

}  // namespace egalaxyd
