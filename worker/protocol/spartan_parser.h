// Request lines of Spartan: "host SP path SP content-length CRLF". Pure: bytes in, value out; no
// socket, no clock, no log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "worker/site/request_line.h"

namespace egalaxyd {

/// Feed it until it gives something other than NeedMore; then it is spent.
class SpartanParser {
 public:
  /// Eats from the front of `bytes`; `consumed` says how many. Whatever the split into calls, the
  /// answer and the sum of `consumed` are the same; the data block is left to the caller. A byte
  /// that no line may hold (a lone LF or CR, a TLS hello's first) is malformed at once, and so is
  /// the first beyond kMaxSpartanLineBytes.
  /// The line's host may be in UTF-8 and name a port, and an IPv6 address may lack its brackets.
  /// `url` is "spartan://" with host and path as sent; `upload` is there when the length is not 0.
  ParseStep feed(std::string_view bytes, std::size_t& consumed);

 private:
  std::string line_;
  bool isHost_ = true;     ///< the line's first word has not ended
  bool returned_ = false;  ///< CR was there, LF must follow
};

}  // namespace egalaxyd
