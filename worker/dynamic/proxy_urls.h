// URLs on their way through a proxy: to another capsule, and back in its redirects. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/limits.h"
#include "common/config/config.h"
#include "worker/site/request.h"

namespace egalaxyd {

/// A `proxy` mount and the capsule that is asked.
struct ProxyRoute {
  std::string mount;        ///< the whole one, decoded: "/old"; "" for "/"
  std::string capsuleHost;  ///< as Uri::host has it; "" of a Unix socket
  std::uint16_t capsulePort = kGeminiPort;
  bool keepsHost = true;  ///< always, where capsuleHost is ""
  bool strips = false;    ///< the mount is cut from paths, and put back in redirects
};

/// `address` is one of `args.upstream.to`.
ProxyRoute proxyRoute(const ProxyArgs& args, std::string_view address, std::string mount);

/// The request line's URL, with Titan's parameters. nullopt: it has become longer than
/// kMaxUriBytes, which is answered 59.
std::optional<std::string> urlForCapsule(const Request& request, const ProxyRoute& route);

/// The target of a redirect as it means the same for the visitor: what is the capsule's own
/// becomes ours. Any other is returned as it is.
std::string redirectForVisitor(std::string target, const Request& request, const ProxyRoute& route);

}  // namespace egalaxyd
