#include "common/listening.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "common/errno_error.h"

namespace egalaxyd {
namespace {

/// Where TCP's header has its flags; a socket's filter sees a packet from that header on.
constexpr std::uint32_t kFlags = 13;
constexpr std::uint32_t kWholePacket = UINT32_MAX;

}  // namespace

Result<void> refuseNewcomers(int listener) {
  // Drops what asks for a connection (SYN without ACK); accepted sockets inherit the filter, and
  // are never sent such a packet.
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
