// A Spartan client that does what it is told, wrong things included. spartan_client.py beside it
// behaves as people's clients do.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

#include "tests/support/tcp_client.h"

namespace egalaxyd {

/// What came back.
struct SpartanReply {
  std::string header;  ///< without CRLF; all that came when there was no CRLF
  int status = 0;      ///< 0: no header that Spartan allows
  std::string meta;
  std::string body;
  Ending ending = Ending::kOpen;

  /// A whole response, ended as the protocol wants it.
  bool complete() const {
    return status != 0 && ending == Ending::kClosed && (status == 2 || body.empty());
  }
};
std::ostream& operator<<(std::ostream& out, const SpartanReply& reply);

/// Everything until the connection's end.
SpartanReply readSpartanReply(TcpClient& client);
/// Connects, sends `bytes` as they are, reads the answer.
SpartanReply askSpartan(std::uint16_t port, std::string_view bytes,
                        const TcpSettings& settings = {});

}  // namespace egalaxyd
