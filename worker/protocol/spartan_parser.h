// Parses request lines of Spartan: "host SP path SP content-length CRLF". Pure: bytes in, value
// out; no socket, no clock, no log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "worker/site/request_line.h"

namespace egalaxyd {

/// Feed it until it returns something other than NeedMore; then it cannot be used any more.
class SpartanParser {
 public:
  /// Takes bytes from the front of `bytes`; `consumed` says how many. The result and the sum of
  /// `consumed` do not depend on how the bytes are split into calls; the data block is left to the
  /// caller. The first byte that a line must not hold (a lone LF or CR, the first of a ClientHello)
  /// makes it malformed at once, and so does the first beyond kMaxSpartanLineBytes.
  /// The line's host may be UTF-8 and have a port, and an IPv6 address may lack its brackets. `url`
  /// is "spartan://" with host and path as sent; `upload` is set unless the length is 0.
  ParseStep feed(std::string_view bytes, std::size_t& consumed);

 private:
  std::string line_;
  bool isHost_ = true;     ///< the line's first word has not ended
  bool returned_ = false;  ///< the last byte was CR: LF must follow
};

}  // namespace egalaxyd
