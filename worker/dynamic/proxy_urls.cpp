#include "worker/dynamic/proxy_urls.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/path.h"
#include "common/wire/uri.h"
#include "worker/dynamic/sent_url.h"

namespace egalaxyd {
namespace {

std::string authorityOf(std::string_view host, std::uint16_t port) {
  std::string authority = hostInUrl(host);
  if (port != kGeminiPort) authority += ':' + std::to_string(port);
  return authority;
}

/// The port under which Gemini's visitors know us. Spartan's is none of Gemini's.
std::uint16_t ourPort(const Request& request) {
  return request.protocol == Protocol::kSpartan ? kGeminiPort : request.port;
}

/// Where the path of an absolute URL begins.
std::size_t pathStart(std::string_view url) {
  const std::size_t slashes = std::min(url.find("//"), url.size());
  return std::min(url.find_first_of("/?#", std::min(slashes + 2, url.size())), url.size());
}

std::string titanParameters(const UploadLine& upload) {
  if (upload.edit) return ";edit";
  std::string parameters = ";size=" + std::to_string(upload.size);
  if (!upload.rawMime.empty()) parameters += ";mime=" + upload.rawMime;
  if (!upload.rawToken.empty()) parameters += ";token=" + upload.rawToken;
  return parameters;
}

/// Scheme and authority.
std::string originFor(const Request& request, const ProxyRoute& route, std::string_view url) {
  const bool isSpartan = request.protocol == Protocol::kSpartan;
  if (route.keepsHost && !isSpartan) return std::string(url.substr(0, pathStart(url)));
  const std::string origin =
      std::string(nameOf(isSpartan ? Protocol::kGemini : request.protocol)) + "://";
  return origin + (route.keepsHost ? authorityOf(request.host, ourPort(request))
                                   : authorityOf(route.capsuleHost, route.capsulePort));
}

std::string pathFor(const Request& request, const ProxyRoute& route, std::string_view url) {
  if (!route.strips) {
    url.remove_prefix(pathStart(url));
    return std::string(url.substr(0, url.find('?')));
  }
  const std::string_view path = request.sitePath();
  return path.empty() ? "/" : percentEncodePath(path);
}

/// "/x" of the capsule as it is called here.
std::string mounted(const ProxyRoute& route, std::string_view path) {
  return (route.strips ? percentEncodePath(route.mount) : "").append(path);
}

/// A reference without scheme and authority.
std::string relativeForVisitor(std::string target, const Request& request,
                               const ProxyRoute& route) {
  if (target.starts_with('/')) return mounted(route, target);
  // The capsule was asked for "/", the visitor for the mount without a slash behind it.
  const bool besideMount = route.strips && request.sitePath().empty();
  const bool hasPath = !target.empty() && target[0] != '?' && target[0] != '#';
  return besideMount && hasPath ? mounted(route, "/" + target) : target;
}

}  // namespace

ProxyRoute proxyRoute(const ProxyArgs& args, std::string_view address, std::string mount) {
  ProxyRoute route;
  route.mount = std::move(mount);
  route.strips = args.strip;
  if (address.starts_with("unix:")) return route;
  auto parsed = parseUri(std::string("gemini://").append(address).append("/"));
  auto* uri = std::get_if<Uri>(&parsed);
  if (uri == nullptr) return route;
  route.capsuleHost = std::move(uri->host);
  route.capsulePort = uri->port.value_or(kGeminiPort);
  route.keepsHost = args.keepHost;
  return route;
}

std::optional<std::string> urlForCapsule(const Request& request, const ProxyRoute& route) {
  const std::string sent = sentUrl(request);
  std::string url = originFor(request, route, sent) + pathFor(request, route, sent);
  if (request.protocol == Protocol::kTitan && request.upload) {
    url += titanParameters(*request.upload);
  }
  if (request.query) url += '?' + *request.query;
  return url.size() > kMaxUriBytes ? std::nullopt : std::optional(std::move(url));
}

std::string redirectForVisitor(std::string target, const Request& request,
                               const ProxyRoute& route) {
  const std::string_view whole = target;
  const std::string_view bare = whole.substr(0, whole.find('#'));
  const auto parsed = parseUri(bare);
  const auto* uri = std::get_if<Uri>(&parsed);
  if (uri == nullptr) {
    const bool relative = std::get<UriError>(parsed) == UriError::kNoScheme;
    return relative && !target.starts_with("//")
               ? relativeForVisitor(std::move(target), request, route)
               : target;
  }
  const std::uint16_t port = uri->port.value_or(kGeminiPort);
  const bool isCapsules =
      !route.capsuleHost.empty() && uri->host == route.capsuleHost && port == route.capsulePort;
  const bool isOurs = route.keepsHost && uri->host == request.host && port == ourPort(request);
  if (uri->scheme != "gemini" || (!isCapsules && !isOurs)) return target;
  std::string path(whole.substr(pathStart(whole)));
  if (!path.starts_with('/')) path.insert(0, "/");
  return "gemini://" + authorityOf(request.host, ourPort(request)) + mounted(route, path);
}

}  // namespace egalaxyd
