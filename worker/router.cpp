#include "worker/router.h"

#include <algorithm>
#include <utility>

#include "common/limits.h"
#include "common/path.h"

namespace egalaxyd {

void PathMap::add(std::string path, std::shared_ptr<Site> site) {
  longest_ = std::max(longest_, path.size());
  sites_.insert_or_assign(std::move(path), std::move(site));
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
    path = path.substr(0, slash);
  }
}

PathMap::Match SiteMap::find(std::string_view host, std::string_view path) const {
  const auto* paths = hosts_.find(host);
  return paths == nullptr ? PathMap::Match{} : (*paths)->find(path);
}

std::variant<Routed, Response> Gate::admit(RequestLine line, std::string_view serverName,
                                           const IpAddress& client) const {
  Uri& uri = line.uri;
  const bool titan = uri.scheme == "titan";
  if (!titan && uri.scheme != "gemini") {
    return Response::failure(Status::kProxyRequestRefused, "This scheme is not served here");
  }
  if (!router_.serves(uri.host)) {
    return Response::failure(Status::kProxyRequestRefused, "This host is not served here");
  }
  const std::uint16_t port = uri.port.value_or(kGeminiPort);
  if (port != kGeminiPort && !ports_.contains(port)) {
    return Response::failure(Status::kProxyRequestRefused, "This port is not served here");
  }
  if (!serverName.empty() && serverName != uri.host) {
    return Response::failure(Status::kProxyRequestRefused,
                             "The connection was made to another host");
  }
  if (limiter_ != nullptr) {
    if (const auto wait = limiter_->count(client)) {
      return Response::failure(Status::kSlowDown, std::to_string(wait->count()));
    }
  }
  if (titan) return Response::failure(Status::kPermanentFailure, "Uploads are not enabled here");

  auto normalised = normalisePath(uri.path);
  if (const auto* error = std::get_if<PathError>(&normalised)) {
    if (*error == PathError::kUnservable) return Response::notFound();
    return Response::failure(Status::kBadRequest, "The path climbs above the root");
  }
  std::string& path = std::get<std::string>(normalised);
  const PathMap::Match match = router_.find(uri.host, path);
  if (match.site == nullptr) return Response::notFound();

  Request request;
  request.protocol = Protocol::kGemini;
  request.url = std::move(line.url);
  request.host = std::move(uri.host);
  request.port = port;
  request.path = std::move(path);
  request.query = std::move(uri.query);
  request.mountLength = match.mountLength;
  request.client = client;
  return Routed{match.site, std::move(request)};
}

}  // namespace egalaxyd
