// Records of an application: however they are split, the same answer, and nothing that was not
// sent.
#include "worker/dynamic/fastcgi_records.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {
namespace {

struct Decoded {
  std::string out;
  std::string error;
  std::vector<std::uint32_t> ends;
  std::size_t skipped = 0;
  std::string fault;
  bool operator==(const Decoded&) const = default;
};

/// Reads one piece; false after a fault.
bool decodePiece(FastcgiDecoder& decoder, std::string_view piece, Decoded& decoded) {
  for (;;) {
    const FastcgiStep step = decoder.next(piece);
    if (std::holds_alternative<NeedMore>(step)) {
      require(piece.empty(), "all is taken while more is needed");
      return true;
    }
    if (const auto* out = std::get_if<FastcgiStdout>(&step)) decoded.out += out->bytes;
    if (const auto* error = std::get_if<FastcgiStderr>(&step)) decoded.error += error->bytes;
    if (const auto* end = std::get_if<FastcgiEnd>(&step)) decoded.ends.push_back(end->exitCode);
    if (std::holds_alternative<FastcgiSkipped>(step)) ++decoded.skipped;
    if (const auto* fault = std::get_if<FastcgiFault>(&step)) {
      decoded.fault = fault->text;
      return false;
    }
  }
}

Decoded decodeAll(std::string_view input, std::size_t size) {
  FastcgiDecoder decoder;
  Decoded decoded;
  while (!input.empty()) {
    const std::string_view piece = input.substr(0, size);
    input.remove_prefix(piece.size());
    if (!decodePiece(decoder, piece, decoded)) break;
  }
  return decoded;
}

}  // namespace

void fastcgi_records(std::string_view input) {
  const Decoded whole = decodeAll(input, std::max<std::size_t>(input.size(), 1));
  require(whole.out.size() + whole.error.size() <= input.size(), "nothing that was not sent");
  require(whole.fault.size() < 100, "a short fault");
  for (const std::size_t size : {std::size_t{1}, std::size_t{5}}) {
    require(decodeAll(input, size) == whole, "the split changes nothing");
  }
}

}  // namespace egalaxyd::fuzz
