// A response's header, as an encoder makes it.
#pragma once

#include <string>

namespace egalaxyd {

struct Header {
  int status;        ///< two digits for Gemini and Titan, one for Spartan
  std::string meta;  ///< the text after the status
  std::string line;  ///< the whole line for the wire, with CRLF
};

}  // namespace egalaxyd
