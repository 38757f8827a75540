#include "tests/support/tcp_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <stdexcept>

namespace egalaxyd {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socketAddress(const std::string& address, std::uint16_t port) {
  SocketAddress result;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    result.length = sizeof *v4;
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    result.length = sizeof *v6;
  } else {
    throw std::runtime_error("not an address: " + address);
  }
  return result;
}

void setOption(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

}  // namespace

const char* describe(Ending ending) {
  switch (ending) {
    case Ending::kOpen:
      return "open";
    case Ending::kClosed:
      return "closed";
    case Ending::kReset:
      return "reset";
    case Ending::kTimedOut:
      return "timed out";
  }
  return "";
}

TcpClient::TcpClient(std::uint16_t port, const TcpSettings& settings) {
  const SocketAddress server = socketAddress(settings.address, port);
  fd_.reset(::socket(server.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) throw std::runtime_error("cannot make a socket");
  setOption(fd_.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (settings.receiveBuffer > 0) {
    setOption(fd_.get(), SOL_SOCKET, SO_RCVBUF, settings.receiveBuffer);
  }
  if (!settings.from.empty()) {
    const SocketAddress own = socketAddress(settings.from, 0);
    if (::bind(fd_.get(), own.get(), own.length) != 0) {
      throw std::runtime_error("cannot use " + settings.from);
    }
  }
  if (::connect(fd_.get(), server.get(), server.length) == 0) return;
  int error = errno;
  if (error == EINPROGRESS && waitFor(POLLOUT, Deadline())) {
    socklen_t size = sizeof error;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) ending_ = Ending::kReset;
}

bool TcpClient::waitFor(short events, const Deadline& deadline) {
  pollfd poll{fd_.get(), events, 0};
  while (::poll(&poll, 1, deadline.leftMs()) < 0) {
    if (errno != EINTR) throw std::runtime_error("poll failed");
  }
  if (poll.revents == 0) ending_ = Ending::kTimedOut;
  return poll.revents != 0;
}

bool TcpClient::send(std::string_view bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN) {
      return false;  // what the peer sent before it left may still be received
    } else if (!waitFor(POLLOUT, deadline)) {
      return false;
    }
  }
  return true;
}

std::string TcpClient::receive(const Deadline& deadline) {
  if (ending_ != Ending::kOpen && ending_ != Ending::kTimedOut) return {};
  ending_ = Ending::kOpen;
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got > 0) return {buffer.data(), static_cast<std::size_t>(got)};
    if (got == 0) {
      ending_ = Ending::kClosed;
      return {};
    }
    if (errno != EAGAIN) {
      ending_ = Ending::kReset;
      return {};
    }
    if (!waitFor(POLLIN, deadline)) return {};
  }
}

std::string TcpClient::receiveAll(const Deadline& deadline) {
  std::string all;
  for (std::string part = receive(deadline); !part.empty(); part = receive(deadline)) all += part;
  return all;
}

void TcpClient::finish() { ::shutdown(fd_.get(), SHUT_WR); }

void TcpClient::reset() {
  const linger abrupt{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  fd_.reset();
}

}  // namespace egalaxyd
