// The PROXY protocol's header, versions 1 and 2: names the client behind a trusted proxy. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "common/wire/ip_address.h"
#include "worker/site/request_line.h"

namespace egalaxyd {

/// The longest header that is accepted: version 2 with its addresses and some extensions.
inline constexpr std::size_t kMaxProxyHeader = 536;

struct ProxyHeader {
  std::size_t length = 0;  ///< bytes to remove from the connection
  /// nullopt: the proxy speaks for itself (health checks), does not know the client, or names one
  /// that did not come over TCP.
  std::optional<IpAddress> client = std::nullopt;
  std::uint16_t clientPort = 0;
};

/// The bytes are not exactly what haproxy's proxy-protocol.txt requires: the connection must end.
struct NoProxyHeader {};

/// `bytes`: the first bytes of a connection.
std::variant<NeedMore, ProxyHeader, NoProxyHeader> parseProxyHeader(std::string_view bytes);

}  // namespace egalaxyd
