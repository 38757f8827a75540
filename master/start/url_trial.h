// Whether the URLs that are printed at the start can be reached from this machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd {

struct ServedUrl {
  std::string url;
  std::string host;  ///< lower-case, an IPv6 address without brackets
  std::uint16_t port = 0;
  std::string trouble{};  ///< why it cannot be reached from here; "": it can, or was not tried
};

/// Looks each host up and connects to it, and says why that did not work, or "", in the order of
/// `urls`. Connects to addresses of this machine alone. Blocks, for two seconds at most beyond the
/// connections; for a process of its own.
std::vector<std::string> tryUrls(const std::vector<ServedUrl>& urls);

/// What tryUrls() said, as one text and back; notes it in `urls`. A text that does not fit them is
/// ignored.
std::string encodeTrial(const std::vector<std::string>& troubles);
void noteTrial(std::string_view text, std::vector<ServedUrl>& urls);

}  // namespace egalaxyd
