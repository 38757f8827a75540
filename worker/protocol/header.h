// A response's header, as an encoder makes it.
#pragma once

#include <string>

namespace egalaxyd {

struct Header {
  int status;        ///< of the protocol: two digits of Gemini's, one of Spartan's
  std::string meta;  ///< what stands behind it
  std::string line;  ///< both, as they go on the wire, with CRLF
};

}  // namespace egalaxyd
