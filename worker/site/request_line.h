// What the parsers make of a connection's first bytes, whatever the protocol.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "common/wire/uri.h"

namespace egalaxyd {

/// More bytes are needed.
struct NeedMore {};

/// What a request line says of the bytes that follow it. Titan: the parameters of the path's last
/// segment; Spartan: a length that is not 0.
struct UploadLine {
  std::uint64_t size = 0;  ///< bytes of the body
  std::string mime;        ///< Titan, decoded; "": not given
  std::string token;       ///< Titan, decoded; "": not given
  bool edit = false;       ///< Titan's ";edit": the raw file is wanted, and no body follows
};

/// A well-formed request line. What the URI means here is the router's question.
struct RequestLine {
  std::string url;  ///< for the log: as sent, CRLF and what is secret left out
  Uri uri;          ///< Titan: without its parameters
  std::optional<UploadLine> upload = std::nullopt;
};

/// Not a request: answered 59 with `text`.
struct Malformed {
  std::string text;
  std::string line;  ///< what was read of it, for the log
  /// Of a body that follows, where the line tells; the client may stop reading when it is refused
  /// before that has left.
  std::optional<std::uint64_t> announced = std::nullopt;
};

using ParseStep = std::variant<NeedMore, RequestLine, Malformed>;

}  // namespace egalaxyd
