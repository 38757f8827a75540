// A TCP client that sends, reads and leaves as a test tells it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/unique_fd.h"
#include "tests/support/deadline.h"

namespace egalaxyd {

struct TcpSettings {
  std::string address = "127.0.0.1";  ///< the server's; IPv6 without brackets
  std::string from;                   ///< our own address; "": the kernel's choice
  int receiveBuffer = 0;              ///< SO_RCVBUF in bytes; 0: the kernel's choice
};

/// How the peer ended the connection.
enum class Ending { kOpen, kClosed, kReset, kTimedOut };
const char* describe(Ending ending);

/// One connection, non-blocking underneath; every call ends at a deadline. One thread.
class TcpClient {
 public:
  /// Not connected when the server refuses; ending() is kReset then.
  explicit TcpClient(std::uint16_t port, const TcpSettings& settings = {});

  /// False when the peer is gone or takes nothing until the deadline.
  bool send(std::string_view bytes, const Deadline& deadline = Deadline());
  /// Some bytes; "" when there are no more, see ending().
  std::string receive(const Deadline& deadline = Deadline());
  /// Everything until the peer ends the connection.
  std::string receiveAll(const Deadline& deadline = Deadline());
  /// No more bytes from us (FIN).
  void finish();
  /// Leaves with a RST.
  void reset();
  /// Leaves with a FIN.
  void close() { fd_.reset(); }

  Ending ending() const { return ending_; }
  int fd() const { return fd_.get(); }

 private:
  bool waitFor(short events, const Deadline& deadline);

  UniqueFd fd_;
  Ending ending_ = Ending::kOpen;
};

}  // namespace egalaxyd
