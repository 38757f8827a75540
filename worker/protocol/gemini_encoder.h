// Response to header line, as Gemini and Titan write it. Pure.
#pragma once

#include <string>

#include "worker/response.h"

namespace egalaxyd {

/// "20 text/gemini\r\n". META is made legal: control characters and invalid UTF-8 become '?',
/// anything beyond kMaxMetaBytes is cut on a character's border, an empty one gets the status's
/// usual text. A redirect whose target would have to be cut becomes a 59 instead.
std::string encodeGeminiHeader(const Response& response);

}  // namespace egalaxyd
