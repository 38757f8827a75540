// The PROXY protocol's header as we send it to another capsule. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/config/config.h"
#include "common/wire/ip_address.h"

namespace egalaxyd {

/// Names the client. `port` is the one that it came to; the address is left open, since no capsule
/// needs it. "" for kOff.
std::string encodeProxyHeader(ProxyProtocol version, const IpAddress& client,
                              std::uint16_t clientPort, std::uint16_t port);

}  // namespace egalaxyd
