// Requests as bytes, made from URLs, and the first line of an answer, parsed. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/wire/protocol.h"
#include "common/wire/uri.h"

namespace egalaxyd::ctl {

/// A parsed URL of Gemini, Titan or Spartan.
struct Target {
  Protocol protocol = Protocol::kGemini;
  std::string url;  ///< without its fragment, which never goes over the wire; its host in ASCII
  Uri uri;
  std::uint16_t port = 0;  ///< the protocol's own when the URL names none
};

/// A URL without scheme is one of `usual`. The message of an error shows the URL.
Result<Target> parseTarget(std::string url, Protocol usual);

/// The page `name`, which may be one in further folders, below `folder`, whose path ends with '/'.
Target pageBelow(const Target& folder, std::string_view name);

/// The whole request. Spartan's data block is the URL's query, decoded.
std::string readingRequest(const Target& target);

/// What the request line of an upload tells.
struct UploadLine {
  std::uint64_t size = 0;
  std::string mime;   ///< "": not said; Spartan never says it
  std::string token;  ///< "": none; likewise
};

/// The request line, with CRLF, that `line.size` bytes follow. `target` is Titan's or Spartan's; a
/// query stays with Titan, and is not for Spartan, whose data is the upload.
std::string uploadRequest(const Target& target, const UploadLine& line);

/// The first line of an answer.
struct AnswerLine {
  std::string text;  ///< all of it, without CRLF
  int kind = 0;      ///< the first digit: 2 is a success, 3 a redirect, whatever the protocol
  std::string meta;
};

/// Fails with kInvalid when the protocol knows no such line.
Result<AnswerLine> parseAnswerLine(Protocol protocol, std::string text);

}  // namespace egalaxyd::ctl
