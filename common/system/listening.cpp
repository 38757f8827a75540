#include "common/system/listening.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

/// Where TCP's header has its flags; a socket's filter sees a packet from that header on.
constexpr std::uint32_t kFlags = 13;
constexpr std::uint32_t kWholePacket = UINT32_MAX;

/// TCP_NOTSENT_LOWAT: unsent bytes that the kernel may buffer for a socket, so that a slow reader
/// does not pin megabytes.
constexpr int kUnsentBytes = 128 * 1024;

template <class Value>
void setOption(int socket, int level, int name, const Value& value) {
  ::setsockopt(socket, level, name, &value, sizeof value);
}
template <class Value>
Value optionOf(int socket, int level, int name) {
  Value value{};
  socklen_t size = sizeof value;
  ::getsockopt(socket, level, name, &value, &size);
  return value;
}

}  // namespace

ListeningSocket::ListeningSocket(UniqueFd fd) : fd_(std::move(fd)) {
  ::getsockname(get(), reinterpret_cast<sockaddr*>(&address_), &addressSize_);
  setOptions();
}

void ListeningSocket::setOptions() const {
  setOption(get(), IPPROTO_TCP, TCP_NODELAY, 1);
  setOption(get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytes);
}

bool ListeningSocket::listens() const {
  return optionOf<int>(get(), SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

/// The options that the sandbox lets a worker set on connections, and therefore on listeners too.
bool ListeningSocket::setLostOptions() const {
  const int flags = ::fcntl(get(), F_GETFL);
  const bool blocks = flags >= 0 && (flags & O_NONBLOCK) == 0;
  const bool isSpoiled = blocks || optionOf<linger>(get(), SOL_SOCKET, SO_LINGER).l_onoff != 0 ||
                         optionOf<int>(get(), SOL_SOCKET, SO_RCVLOWAT) != 1 ||
                         optionOf<int>(get(), IPPROTO_TCP, TCP_NODELAY) == 0;
  if (!isSpoiled) return false;
  if (blocks) ::fcntl(get(), F_SETFL, flags | O_NONBLOCK);
  setOption(get(), SOL_SOCKET, SO_LINGER, linger{});
  setOption(get(), SOL_SOCKET, SO_RCVLOWAT, 1);
  setOptions();
  return true;
}

Result<void> ListeningSocket::listenAgain() const {
  // connect() to AF_UNSPEC undoes a connection that was made of the socket, and with it a port that
  // the kernel chose. bind() says EINVAL where the socket is still bound.
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  static_cast<void>(::connect(get(), &nobody, sizeof nobody));
  if (::bind(get(), reinterpret_cast<const sockaddr*>(&address_), addressSize_) != 0 &&
      errno != EINVAL) {
    return errnoError("bind again", errno);
  }
  if (::listen(get(), kListenBacklog) != 0) return errnoError("listen again", errno);
  return {};
}

Result<std::string> ListeningSocket::mend() const {
  std::string amiss;
  if (!listens()) {
    if (auto again = listenAgain(); !again) return again.error();
    amiss = "it had stopped listening";
  }
  if (setLostOptions())
    amiss += amiss.empty() ? "its options were changed" : ", with other options";
  return amiss;
}

Result<void> refuseNewcomers(int listener) {
  // Drops packets that ask for a connection (SYN without ACK). Accepted sockets inherit the filter,
  // but get no such packet.
  std::array<sock_filter, 5> program{{
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlags),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, kWholePacket),
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) {
    return errnoError("keep new connections out", errno);
  }
  return {};
}

bool refusesNewcomers(int listener) {
  socklen_t instructions = 0;  // 0: only their number is wanted
  return ::getsockopt(listener, SOL_SOCKET, SO_GET_FILTER, nullptr, &instructions) == 0 &&
         instructions > 0;
}

}  // namespace egalaxyd
