// The front of a proxied connection: whatever the split, the same answer, within its bounds.
#include "worker/protocol/proxy_header.h"

#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {

void proxy_header(std::string_view input) {
  const auto whole = parseProxyHeader(input);
  if (const auto* header = std::get_if<ProxyHeader>(&whole)) {
    require(header->length > 0 && header->length <= input.size(), "a header within the bytes");
    require(header->length <= kMaxProxyHeader, "a header within the limit");
    const auto exact = parseProxyHeader(input.substr(0, header->length));
    const auto* again = std::get_if<ProxyHeader>(&exact);
    require(again != nullptr && again->length == header->length && again->client == header->client,
            "what follows the header changes nothing");
  }
  if (input.size() >= kMaxProxyHeader) {
    require(!std::holds_alternative<NeedMore>(whole), "an answer once the limit is reached");
  }
  for (std::size_t size = 0; size < input.size(); ++size) {
    const auto part = parseProxyHeader(input.substr(0, size));
    if (std::holds_alternative<NeedMore>(part)) continue;
    require(part.index() == whole.index(), "an early answer stays the answer");
    break;
  }
}

}  // namespace egalaxyd::fuzz
