// The PROXY protocol's header, versions 1 and 2: who the client of a trusted proxy is. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <variant>

#include "common/wire/ip_address.h"
#include "worker/site/request_line.h"

namespace egalaxyd {

/// The longest header that is accepted: version 2 with its addresses and some extensions.
inline constexpr std::size_t kMaxProxyHeader = 536;

struct ProxyHeader {
  std::size_t length = 0;  ///< bytes, to be taken off the connection
  /// nullopt: the proxy speaks for itself (health checks), does not know, or names a client that
  /// came by something else than TCP.
  std::optional<IpAddress> client;
};

/// Also what is not exactly as haproxy's proxy-protocol.txt wants it: the connection must end.
struct NoProxyHeader {};

/// Looks at the front of a connection's bytes.
std::variant<NeedMore, ProxyHeader, NoProxyHeader> parseProxyHeader(std::string_view bytes);

}  // namespace egalaxyd
