// A sidecar of either kind: what it says of a file is fit for a header, whoever wrote it.
#include "worker/file/sidecar.h"

#include <string>

#include "common/base/path.h"
#include "common/wire/media_type.h"
#include "tests/fuzz/support.h"
#include "worker/protocol/gemini_encoder.h"
#include "worker/site/response.h"

namespace egalaxyd::fuzz {
namespace {

void checkNote(const FileNote& note) {
  require(isPrintable(note.meta), "a header's text is printable");
  require(note.status == 0 || isStatus(note.status), "a status of Gemini's");
  const std::string type = note.type.empty() ? "text/gemini" : note.type;
  require(isMediaType(type + note.parameters), "a media type");
  require(isPrintable(note.lang.value_or("")) && isPrintable(note.charset.value_or("")),
          "printable parameters");
  if (note.status == 0) return;
  Response response;
  response.status = static_cast<Status>(note.status);
  response.meta = note.meta;
  requireLegalHeader(encodeGeminiHeader(response).line);
}

void checkSidecar(const ParsedSidecar& parsed) {
  require(parsed.notes != nullptr, "there is always something to ask");
  require(parsed.faults.size() <= kMostSidecarLines + kMostSidecarPatterns + 2, "few faults");
  for (const SidecarFault& fault : parsed.faults) {
    require(isPrintable(fault.text), "what the log is told is printable");
  }
  for (const char* path :
       {"a", "index.gmi", "sub/b.gmi", ".hidden", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    FileNote note;
    parsed.notes->tell(path, note);
    checkNote(note);
  }
}

}  // namespace

void sidecar(std::string_view input) {
  input = input.substr(0, kMaxSidecarBytes);
  checkSidecar(parseMetaSidecar(input));
  checkSidecar(parseMollySidecar(input));
}

}  // namespace egalaxyd::fuzz
