#include "tests/support/control_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>

namespace egalaxyd {

ControlClient::ControlClient(const std::filesystem::path& socket)
    : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket.string().copy(address.sun_path, sizeof address.sun_path - 1);
  connected_ =
      ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::size_t ControlClient::send(std::string_view bytes) const {
  const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
}

void ControlClient::finish() const { ::shutdown(fd_.get(), SHUT_WR); }

std::string ControlClient::line(const Deadline& deadline) {
  while (held_.find('\n') == std::string::npos) {
    pollfd readable{fd_.get(), POLLIN, 0};
    if (::poll(&readable, 1, deadline.leftMs()) <= 0) return "(nothing)";
    char bytes[4096];
    const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, 0);
    if (got <= 0) return "";
    held_.append(bytes, static_cast<std::size_t>(got));
  }
  const std::string line = held_.substr(0, held_.find('\n'));
  held_.erase(0, line.size() + 1);
  return line;
}

}  // namespace egalaxyd
