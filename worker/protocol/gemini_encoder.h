// Response to header line, as Gemini and Titan write it. Pure.
#pragma once

#include "worker/protocol/header.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// "20 text/gemini\r\n": legal by Gemini 0.24.1 whatever the response holds.
/// META is made printable: control characters and invalid UTF-8 become '?', spaces and a U+FEFF in
/// front and spaces at the end go, anything beyond kMaxMetaBytes is cut on a character's border, an
/// empty one gets the status's usual text.
/// A media type with broken parameters loses them; a broken one is application/octet-stream.
/// A redirect whose target is too long becomes a 59; one without a usable target (empty, "//...",
/// spaces, control characters) a 40. A number that is no status becomes a 42.
Header encodeGeminiHeader(const Response& response);

}  // namespace egalaxyd
