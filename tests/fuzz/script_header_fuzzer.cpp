// What a script, or another capsule, says first: however it is split, the same header, which is
// legal for a client.
#include "worker/dynamic/script_header.h"

#include <string>

#include "common/base/path.h"
#include "tests/fuzz/support.h"
#include "worker/protocol/gemini_encoder.h"

namespace egalaxyd::fuzz {
namespace {

struct Read {
  HeaderStep step;
  std::size_t consumed = 0;
};

Read readHeader(std::string_view input, HeaderFrom from, std::size_t piece) {
  ScriptHeaderParser parser(from);
  Read read;
  while (read.consumed < input.size() && std::holds_alternative<NeedMore>(read.step)) {
    std::size_t consumed = 0;
    const std::string_view given = input.substr(read.consumed, piece);
    read.step = parser.feed(given, consumed);
    require(consumed <= given.size(), "no more is taken than was given");
    const bool goesOn = std::holds_alternative<NeedMore>(read.step);
    require(!goesOn || consumed == given.size(), "all is taken while more is needed");
    read.consumed += consumed;
  }
  require(read.consumed <= kMostHeaderBlock, "a bounded header");
  return read;
}

void checkHeader(const ScriptHeader& header) {
  require(isStatus(static_cast<int>(header.status)), "a status of Gemini's");
  const Response response{header.status, header.meta, nullptr};
  const std::string line = encodeGeminiHeader(response).line;
  requireLegalHeader(line);
  require(line.starts_with(std::to_string(static_cast<int>(header.status))),
          "the encoder keeps the status");
  for (const HeaderNote& note : header.notes) require(isPrintable(note.text), "notes are text");
}

void checkFrom(std::string_view input, HeaderFrom from) {
  const Read whole = readHeader(input, from, input.size());
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
    const Read split = readHeader(input, from, piece);
    require(split.step.index() == whole.step.index(), "the split changes nothing");
    const auto* header = std::get_if<ScriptHeader>(&whole.step);
    if (header == nullptr) continue;
    const auto& other = std::get<ScriptHeader>(split.step);
    require(split.consumed == whole.consumed && other.status == header->status &&
                other.meta == header->meta,
            "the split changes no header");
  }
  if (const auto* header = std::get_if<ScriptHeader>(&whole.step)) checkHeader(*header);
  if (const auto* bad = std::get_if<BadHeader>(&whole.step)) {
    require(isPrintable(bad->why), "what the log is told is printable");
    require(bad->why.size() < 400, "and short");
  }
}

}  // namespace

void script_header(std::string_view input) {
  if (input.empty()) return;
  checkFrom(input, HeaderFrom::kProgram);
  checkFrom(input, HeaderFrom::kCapsule);
}

}  // namespace egalaxyd::fuzz
