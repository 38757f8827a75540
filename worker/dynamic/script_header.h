// What a script, an application or another capsule says first: Gemini's header line, or a header
// block of CGI/1.1. Pure: bytes in, value out; no descriptor, no clock, no log.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "worker/site/request_line.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// The longest header line, its end included: two digits, a space, META, CRLF.
inline constexpr std::size_t kMostHeaderLine = 1029;
/// The longest header block, its empty line included.
inline constexpr std::size_t kMostHeaderBlock = 8 * 1024;

/// Who speaks.
enum class HeaderFrom {
  kProgram,  ///< a line or a block; what is wrong with it is 42
  kCapsule,  ///< a line; what is wrong with it is 43, and so is 6x: the visitor's certificate does
             ///< not get there
};

/// For the log.
struct HeaderNote {
  bool warning = false;  ///< else it is for debugging
  std::string text;
};

/// What was said, fit for the encoders, which give an empty meta its usual text and clean the
/// texts of 4x to 6x.
struct ScriptHeader {
  Status status = Status::kSuccess;
  std::string meta;
  std::vector<HeaderNote> notes;
};

struct BadHeader {
  Status status = Status::kCgiError;
  std::string why;   ///< for the log; quotes at most 80 bytes of what was said
  std::string text;  ///< for the client; "": the usual one
};

using HeaderStep = std::variant<NeedMore, ScriptHeader, BadHeader>;

/// Feed it until it returns something other than NeedMore; then it cannot be used any more.
class ScriptHeaderParser {
 public:
  explicit ScriptHeaderParser(HeaderFrom from) : from_(from) {}

  /// Takes bytes from the front of `bytes`; `consumed` says how many. What is left behind a header
  /// is the body. The result and the sum of `consumed` do not depend on how the bytes are split
  /// into calls; the words of a BadHeader may.
  HeaderStep feed(std::string_view bytes, std::size_t& consumed);

  /// What it means that no more bytes come.
  BadHeader ended() const;
  /// Whether nothing at all was said so far.
  bool silent() const { return said_.empty(); }

 private:
  HeaderStep readLine(std::size_t before, std::size_t& consumed);
  HeaderStep readBlock(std::size_t before, std::size_t& consumed);
  bool takeField(std::string_view line);
  HeaderStep parseLine(std::string_view line) const;
  HeaderStep concludeBlock() const;
  HeaderStep conclude(ScriptHeader header) const;
  BadHeader bad(std::string why) const;
  BadHeader noHeader() const;

  HeaderFrom from_;
  std::string said_;
  std::size_t lineStart_ = 0;  ///< of a block's line that has not ended
  std::optional<std::string> contentType_;
  std::optional<std::string> location_;
  std::optional<std::string> status_;
};

}  // namespace egalaxyd
