#include "worker/route/router.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "worker/route/pattern_redirects.h"

namespace egalaxyd {

void PathMap::add(std::string path, std::shared_ptr<Site> site) {
  longest_ = std::max(longest_, path.size());
  sites_.insert_or_assign(std::move(path), std::move(site));
}

void PathMap::addHomes(std::string path, std::shared_ptr<Site> site) {
  homes_.insert_or_assign(std::move(path), std::move(site));
}

PathMap::Match PathMap::find(std::string_view path) const {
  if (path.ends_with('/')) path.remove_suffix(1);
  for (;;) {
    if (path.size() <= longest_) {
      const auto found = sites_.find(path.empty() ? std::string_view("/") : path);
      if (found != sites_.end()) return {found->second.get(), path.size()};
    }
    const auto slash = path.rfind('/');
    if (slash == std::string_view::npos) return {};
    if (!homes_.empty() && path.substr(slash).starts_with("/~")) {
      const auto found = homes_.find(path.substr(0, slash + 2));
      if (found != homes_.end()) return {found->second.get(), path.size()};
    }
    path = path.substr(0, slash);
  }
}

PathMap::Match SiteMap::find(std::string_view host, std::string_view path) const {
  const auto* paths = hosts_.find(host);
  return paths == nullptr ? PathMap::Match{} : (*paths)->find(path);
}

namespace {

Response notServed(std::string text) {
  return Response::failure(Status::kProxyRequestRefused, std::move(text));
}

/// nullopt if this listener does not speak the scheme.
std::optional<Protocol> protocolOf(std::string_view scheme, ListenerKind listener) {
  if (listener == ListenerKind::kSpartan) {
    return scheme == "spartan" ? std::optional(Protocol::kSpartan) : std::nullopt;
  }
  if (scheme == "titan") return Protocol::kTitan;
  if (scheme == "gemini" && listener == ListenerKind::kGemini) return Protocol::kGemini;
  return std::nullopt;
}

std::uint16_t defaultPort(Protocol protocol) {
  return protocol == Protocol::kSpartan ? kSpartanPort : kGeminiPort;
}

}  // namespace

std::optional<Response> Gate::refuse(const Uri& uri, Protocol protocol, std::uint16_t port,
                                     std::string_view serverName) const {
  if (!router_.serves(uri.host)) return notServed("This host is not served here");
  const bool* overSpartan = protocol == Protocol::kSpartan ? spartanHosts_.find(uri.host) : nullptr;
  if (overSpartan != nullptr && !*overSpartan) {
    return notServed("This host is not served over Spartan");
  }
  if (port != defaultPort(protocol) && !ports_.contains(port)) {
    return notServed("This port is not served here");
  }
  if (!serverName.empty() && serverName != uri.host) {
    return notServed("The connection was made to another host");
  }
  return std::nullopt;
}

/// A site that takes encoded slashes is found by the segments before the first one with such.
PathMap::Match Gate::find(const RequestLine& line, const std::string& host,
                          std::string_view path) const {
  if (const auto mark = path.find(kEncodedSlash); mark != std::string_view::npos) {
    const std::string_view plain = path.substr(0, path.rfind('/', mark) + 1);
    const PathMap::Match match = router_.find(host, plain);
    const bool takes =
        match.site != nullptr && match.site->takesEncodedSlash(plain.substr(match.mountLength));
    return takes ? match : PathMap::Match{};
  }
  const auto* redirects = line.upload ? nullptr : redirects_.find(host);
  if (redirects != nullptr && *redirects != nullptr && (*redirects)->cover(path)) {
    return {redirects->get(), 0};
  }
  return router_.find(host, path);
}

std::variant<Routed, Response> Gate::admit(RequestLine line, ListenerKind listener,
                                           std::string_view serverName,
                                           const IpAddress& client) const {
  Uri& uri = line.uri;
  const auto protocol = protocolOf(uri.scheme, listener);
  if (!protocol) return notServed("This scheme is not served here");
  const std::uint16_t port =
      uri.port.value_or(*protocol == Protocol::kSpartan ? spartanPort_ : defaultPort(*protocol));
  if (auto refusal = refuse(uri, *protocol, port, serverName)) return std::move(*refusal);

  auto normalised = normalisePathKeepingSlashes(uri.path);
  if (const auto* error = std::get_if<PathError>(&normalised)) {
    if (*error == PathError::kUnservable) return Response::notFound();
    return Response::failure(Status::kBadRequest, "The path climbs above the root");
  }
  std::string& path = std::get<std::string>(normalised);
  const PathMap::Match match = find(line, uri.host, path);
  if (match.site == nullptr) return Response::notFound();

  Request request;
  request.protocol = *protocol;
  request.url = std::move(line.url);
  request.host = std::move(uri.host);
  request.port = port;
  request.readPort = listener == ListenerKind::kTitan ? readPort_ : port;
  request.path = std::move(path);
  request.query = std::move(uri.query);
  request.mountLength = match.mountLength;
  request.client = client;
  request.upload = std::move(line.upload);
  if (!request.upload) return Routed{match.site, std::move(request)};
  const AcceptedBody takes = match.site->takes(request.sitePath());
  const bool refused = takes == AcceptedBody::kNothing ||
                       (takes != AcceptedBody::kUploads && *protocol == Protocol::kTitan);
  if (refused) {
    return Response::failure(Status::kPermanentFailure, "Uploads are not enabled here");
  }
  return Routed{match.site, std::move(request), takes};
}

}  // namespace egalaxyd
