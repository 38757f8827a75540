// The first byte is a status, the rest META: the header is legal whatever they are.
#include <string>

#include "tests/fuzz/support.h"
#include "worker/protocol/gemini_encoder.h"

namespace egalaxyd::fuzz {

void encoder(std::string_view input) {
  if (input.empty()) return;
  const int code = static_cast<unsigned char>(input.front());
  const std::string header =
      encodeGeminiHeader({static_cast<Status>(code), std::string(input.substr(1)), nullptr}).line;
  requireLegalHeader(header);
}

}  // namespace egalaxyd::fuzz
