// Request lines of Gemini and Titan: one listener, one framing, two schemes. Pure: bytes in, value
// out; no socket, no clock, no log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "worker/site/request_line.h"

namespace egalaxyd {

/// Feed it until it gives something other than NeedMore; then it is spent.
class GeminiParser {
 public:
  /// Eats from the front of `bytes`; `consumed` says how many. Whatever the split into calls, the
  /// answer and the sum of `consumed` are the same. A lone LF or CR is an illegal byte that is
  /// reported with the line's end; without CRLF within kMaxUriBytes + 2 bytes the line is malformed
  /// at once.
  ParseStep feed(std::string_view bytes, std::size_t& consumed);

 private:
  std::string line_;
};

}  // namespace egalaxyd
