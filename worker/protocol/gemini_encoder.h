// Encodes a response's header line for Gemini and Titan. Pure.
#pragma once

#include "worker/protocol/header.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// "20 text/gemini\r\n": legal by Gemini 0.24.1 whatever the response holds.
/// META is made printable: control characters and invalid UTF-8 become '?', leading spaces and
/// U+FEFF and trailing spaces are removed, text beyond kMaxMetaBytes is cut at the end of a
/// character, and an empty META becomes the status's usual text.
/// Broken parameters of a media type are dropped; a broken type becomes application/octet-stream.
/// A redirect whose target is too long becomes a 59; one without a usable target (empty, "//...",
/// spaces, control characters) a 40. A number that is no status becomes a 42.
Header encodeGeminiHeader(const Response& response);

}  // namespace egalaxyd
