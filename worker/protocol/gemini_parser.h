// Parses request lines of Gemini and Titan: one listener, one framing, two schemes. Pure: bytes in,
// value out; no socket, no clock, no log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "worker/site/request_line.h"

namespace egalaxyd {

/// Feed it until it returns something other than NeedMore; then it cannot be used any more.
class GeminiParser {
 public:
  /// Takes bytes from the front of `bytes`; `consumed` says how many. The result and the sum of
  /// `consumed` do not depend on how the bytes are split into calls. A lone LF or CR is an illegal
  /// byte and is reported at the line's end; without CRLF within kMaxUriBytes + 2 bytes the line is
  /// malformed at once.
  ParseStep feed(std::string_view bytes, std::size_t& consumed);

 private:
  std::string line_;
};

}  // namespace egalaxyd
