#include "common/shared/worker_channel.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/path.h"

namespace egalaxyd {

namespace {

/// Room for one descriptor beside a message.
struct FileRoom {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> bytes{};
};

UniqueFd takeFile(msghdr& message) {
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    return {};
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

ssize_t sendWithFile(int channel, std::string& packet, int file, int flags) {
  iovec part{packet.data(), packet.size()};
  FileRoom room;
  msghdr out{};
  out.msg_iov = &part;
  out.msg_iovlen = 1;
  out.msg_control = room.bytes.data();
  out.msg_controllen = room.bytes.size();
  cmsghdr* header = CMSG_FIRSTHDR(&out);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof file);
  std::memcpy(CMSG_DATA(header), &file, sizeof file);
  return ::sendmsg(channel, &out, flags);
}

}  // namespace

Result<void> WorkerChannel::send(ChannelMessage message, std::string_view text, int file) {
  std::string packet(1, static_cast<char>(message));
  packet.append(text.substr(0, kMaxText));
  // A worker's sandbox knows no sendmsg(2), and a worker has no file to send.
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  const ssize_t sent = file < 0 ? ::send(fd_.get(), packet.data(), packet.size(), flags)
                                : sendWithFile(fd_.get(), packet, file, flags);
  if (sent < 0) return errnoError("send to the other end of a worker's channel", errno);
  return {};
}

WorkerChannel::Received WorkerChannel::receive(Files files) {
  using Kind = Received::Kind;
  std::array<char, 1 + kMaxText> packet;
  iovec part{packet.data(), packet.size()};
  FileRoom room;
  msghdr in{};
  ssize_t got = 0;
  do {
    in = {};
    in.msg_iov = &part;
    in.msg_iovlen = 1;
    if (files == Files::kTake) {
      in.msg_control = room.bytes.data();
      in.msg_controllen = room.bytes.size();
    }
    got = ::recvmsg(fd_.get(), &in, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return {errno == EAGAIN ? Kind::kNothing : Kind::kPeerGone, {}, {}, {}};
  UniqueFd file = takeFile(in);
  if (got == 0) return {Kind::kPeerGone, {}, {}, {}};
  const auto kind = static_cast<unsigned char>(packet[0]);
  if (static_cast<std::size_t>(got) > packet.size() ||
      kind < static_cast<unsigned char>(ChannelMessage::kReady) ||
      kind > static_cast<unsigned char>(ChannelMessage::kLauncher)) {
    return {Kind::kNonsense, {}, {}, {}};
  }
  return {Kind::kMessage, static_cast<ChannelMessage>(kind),
          printable({packet.data() + 1, static_cast<std::size_t>(got - 1)}), std::move(file)};
}

}  // namespace egalaxyd
