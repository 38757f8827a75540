// Bytes of a client: the parser's answer must not depend on their split, and holds what the rest of
// the server relies on.
#include "worker/protocol/spartan_parser.h"

#include <algorithm>
#include <string>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "tests/fuzz/support.h"
#include "worker/protocol/spartan_encoder.h"

namespace egalaxyd::fuzz {
namespace {

struct Outcome {
  ParseStep step;
  std::size_t consumed = 0;
};

/// Feeds pieces of `pieceSize` bytes.
Outcome parse(std::string_view bytes, std::size_t pieceSize) {
  SpartanParser parser;
  Outcome outcome;
  while (!bytes.empty() && std::holds_alternative<NeedMore>(outcome.step)) {
    const std::string_view piece = bytes.substr(0, pieceSize);
    std::size_t consumed = 0;
    outcome.step = parser.feed(piece, consumed);
    require(consumed <= piece.size(), "eats no more than it got");
    require(consumed == piece.size() || !std::holds_alternative<NeedMore>(outcome.step),
            "eats all before it needs more");
    outcome.consumed += consumed;
    bytes.remove_prefix(consumed);
  }
  return outcome;
}

std::string summary(const ParseStep& step) {
  if (const auto* line = std::get_if<RequestLine>(&step)) {
    return "url " + line->url + (line->upload ? " " + std::to_string(line->upload->size) : "");
  }
  if (const auto* malformed = std::get_if<Malformed>(&step)) return "malformed " + malformed->text;
  return "more";
}

void checkLine(const RequestLine& line) {
  require(line.uri.scheme == "spartan" && !line.uri.host.empty(), "a host of Spartan");
  require(line.uri.path.starts_with('/') && !line.uri.path.starts_with("//"), "an absolute path");
  require(!line.uri.query, "no query");
  require(!line.upload || line.upload->size > 0, "an upload has bytes");
  require(isPrintable(line.url) && line.url.find(' ') == std::string::npos, "printable UTF-8");
  for (const char c : line.uri.host + line.uri.path) require(c > ' ' && c <= '~', "ASCII");
  const auto path = normalisePath(line.uri.path);
  if (const auto* normal = std::get_if<std::string>(&path)) requireNormalPath(*normal);
}

}  // namespace

void spartan_parser(std::string_view input) {
  const Outcome whole = parse(input, std::max<std::size_t>(input.size(), 1));
  for (const std::size_t pieceSize : {1u, 2u, 3u, 7u, 512u}) {
    const Outcome split = parse(input, pieceSize);
    require(summary(split.step) == summary(whole.step), "the same answer for every split");
    require(split.consumed == whole.consumed, "the same length for every split");
  }
  require(input.size() < kMaxSpartanLineBytes + 2 || !std::holds_alternative<NeedMore>(whole.step),
          "an answer at byte 4098");
  if (const auto* malformed = std::get_if<Malformed>(&whole.step)) {
    Response refusal = Response::failure(Status::kBadRequest, malformed->text);
    requireLegalSpartanHeader(encodeSpartanHeader(refusal, {}).line);
  }
  if (const auto* line = std::get_if<RequestLine>(&whole.step)) checkLine(*line);
}

}  // namespace egalaxyd::fuzz
