// The first byte is a status, the rest META: the header is legal whatever they are.
#include <string>

#include "tests/fuzz/support.h"
#include "worker/protocol/spartan_encoder.h"

namespace egalaxyd::fuzz {

void spartan_encoder(std::string_view input) {
  if (input.empty()) return;
  const int code = static_cast<unsigned char>(input.front());
  Response response{static_cast<Status>(code), std::string(input.substr(1)), nullptr};
  const std::string header = encodeSpartanHeader(response, {"h.test", "/a page"}).line;
  requireLegalSpartanHeader(header);
  require(!response.body || header == "2 text/gemini\r\n", "a page of its own only for prompts");
}

}  // namespace egalaxyd::fuzz
