#include "master/launcher/packet_socket.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "common/shared/launcher_protocol.h"

namespace egalaxyd {
namespace {

constexpr int kPacketsPerTurn = 32;
/// What a peer may owe us to take, besides what the channel holds; each may have descriptors.
constexpr std::size_t kMostWaiting = 256;
/// Until some of the descriptors that are on their way may have arrived.
constexpr std::chrono::milliseconds kArrival{20};

struct FilesRoom {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(PacketSocket::kMostFiles * sizeof(int))> bytes{};
};

std::vector<UniqueFd> takeFiles(msghdr& message) {
  std::vector<UniqueFd> files;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
    return files;
  }
  const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (std::size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
    files.emplace_back(fd);
  }
  return files;
}

void putFiles(msghdr& message, FilesRoom& room, const std::vector<UniqueFd>& files) {
  if (files.empty()) return;
  message.msg_control = room.bytes.data();
  message.msg_controllen = CMSG_SPACE(files.size() * sizeof(int));
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(files.size() * sizeof(int));
  for (std::size_t i = 0; i < files.size(); ++i) {
    const int fd = files[i].get();
    std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
  }
}

}  // namespace

PacketSocket::PacketSocket(EventLoop& loop, UniqueFd socket, Files files, Callbacks callbacks)
    : files_(files),
      callbacks_(std::move(callbacks)),
      socket_(std::move(socket)),
      watch_(loop, [this](IoEvents events) { onReady(events); }),
      again_(loop, [this] { readSome(); }),
      retry_(loop, [this] { flush(); }),
      broken_(loop, [this] { end(); }) {}

void PacketSocket::start() {
  if (!watch_.start(socket_.get(), WatchMode::kEdge)) breakLater({});
}

void PacketSocket::send(std::string packet, std::vector<UniqueFd> files) {
  if (!socket_) return;
  waiting_.push_back({std::move(packet), std::move(files)});
  flush();
}

void PacketSocket::close() {
  watch_.stop();
  again_.cancel();
  retry_.cancel();
  broken_.cancel();
  waiting_.clear();
  socket_.reset();
}

void PacketSocket::closeInChild() {
  waiting_.clear();
  socket_.reset();
}

void PacketSocket::onReady(IoEvents events) {
  if (events.writable) flush();
  if (events.readable && socket_) readSome();
}

void PacketSocket::readSome() {
  static std::array<char, kMostLauncherBytes> buffer;  // one thread
  for (int packets = 0; packets < kPacketsPerTurn && socket_; ++packets) {
    iovec part{buffer.data(), buffer.size()};
    FilesRoom room;
    msghdr in{};
    in.msg_iov = &part;
    in.msg_iovlen = 1;
    if (files_ == Files::kTake) {
      in.msg_control = room.bytes.data();
      in.msg_controllen = room.bytes.size();
    }
    const ssize_t got = ::recvmsg(socket_.get(), &in, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return end();
    auto files = takeFiles(in);
    if (static_cast<std::size_t>(got) > buffer.size()) {
      fault_ = "more than a packet holds";
      return end();
    }
    callbacks_.packet({buffer.data(), static_cast<std::size_t>(got)}, std::move(files));
  }
  if (socket_) again_.setAfter({});
}

void PacketSocket::flush() {
  while (!waiting_.empty()) {
    Outgoing& next = waiting_.front();
    iovec part{next.bytes.data(), next.bytes.size()};
    FilesRoom room;
    msghdr out{};
    out.msg_iov = &part;
    out.msg_iovlen = 1;
    putFiles(out, room, next.files);
    if (::sendmsg(socket_.get(), &out, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != ETOOMANYREFS) return breakLater({});
      if (waiting_.size() > kMostWaiting) return breakLater("it does not take what it is sent");
      return errno == EAGAIN ? watch_.wantRoom() : retry_.setAfter(kArrival);
    }
    waiting_.pop_front();
  }
}

void PacketSocket::breakLater(std::string fault) {
  fault_ = std::move(fault);
  broken_.setAfter({});
}

void PacketSocket::end() {
  close();
  callbacks_.ended(fault_);
}

}  // namespace egalaxyd
