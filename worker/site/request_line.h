// What the parsers of all protocols return.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "common/wire/uri.h"

namespace egalaxyd {

/// More bytes are needed.
struct NeedMore {};

/// What a request line says of the body that follows. Titan: the parameters of the path's last
/// segment; Spartan: a length that is not 0.
struct UploadLine {
  std::uint64_t size = 0;     ///< bytes of the body
  std::string mime;           ///< Titan, decoded; "": not given
  std::string token;          ///< Titan, decoded; "": not given
  bool edit = false;          ///< Titan's ";edit": the raw file is wanted, and no body follows
  std::string rawMime = {};   ///< as it was sent
  std::string rawToken = {};  ///< as it was sent
};

/// A well-formed request line. The router decides what its URI means here.
struct RequestLine {
  std::string url;  ///< for the log: as sent, without CRLF and secrets
  Uri uri;          ///< Titan: without its parameters
  std::optional<UploadLine> upload = std::nullopt;
};

/// Not a request: answered 59 with `text`.
struct Malformed {
  std::string text;
  std::string line;  ///< the part that was read, for the log
  /// Size of the body that follows, if the line tells it: the client may stop reading when it is
  /// refused before it has sent all of that.
  std::optional<std::uint64_t> announced = std::nullopt;
};

using ParseStep = std::variant<NeedMore, RequestLine, Malformed>;

}  // namespace egalaxyd
