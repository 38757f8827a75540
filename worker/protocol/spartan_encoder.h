// Response to header line, as Spartan writes it. Pure.
#pragma once

#include <string_view>

#include "worker/protocol/header.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// What was asked for, as far as the answer depends on it; empty where that is not known.
struct SpartanTarget {
  std::string_view host;  ///< as Uri::host
  std::string_view path;  ///< normalised, see normalisePath
};

/// "2 text/gemini\r\n": legal Spartan whatever the response holds: ASCII, and always a message.
/// Client errors (44, 5x, 6x) are 4, our own (40 to 43) are 5. A prompt (1x) becomes a page: 2, and
/// `response` gets a body that shows it with a "=:" line to `asked.path`.
/// A redirect keeps to the host: a path or a gemini or spartan URL of `asked.host` is a 3 with the
/// absolute path. What Spartan has no words for (another host, a query) is a 4 that says so.
Header encodeSpartanHeader(Response& response, const SpartanTarget& asked);

}  // namespace egalaxyd
