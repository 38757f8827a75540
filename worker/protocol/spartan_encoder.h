// Encodes a response's header line for Spartan. Pure.
#pragma once

#include <string_view>

#include "worker/protocol/header.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// The parts of the request that the answer depends on; empty if they are not known.
struct SpartanTarget {
  std::string_view host;  ///< as Uri::host
  std::string_view path;  ///< normalised, see normalisePath
};

/// "2 text/gemini\r\n": legal Spartan whatever the response holds: ASCII, and never without a text.
/// Client errors (44, 5x, 6x) become 4, server errors (40 to 43) become 5. A prompt (1x) becomes a
/// page: 2, and `response` gets a body that shows the prompt with a "=:" line to `asked.path`.
/// A redirect to a path, or to a gemini or spartan URL of `asked.host`, becomes a 3 with the
/// absolute path, since Spartan redirects only within a host; a relative one is resolved against
/// `asked.path`. Any other redirect (another host, a
/// query) becomes a 4 that says so.
Header encodeSpartanHeader(Response& response, const SpartanTarget& asked);

}  // namespace egalaxyd
