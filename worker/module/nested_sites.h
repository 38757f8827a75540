// What modules with `sites` of their own have in common.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "worker/route/router.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// The sites within a site; their paths begin where the outer mount ends.
class NestedSites {
 public:
  explicit NestedSites(PathMap sites) : sites_(std::move(sites)) {}

  bool serves(std::string_view sitePath) const { return sites_.find(sitePath).site != nullptr; }

  /// Hands the request to the site with the longest matching path; 51 if there is none.
  void handle(Request request, Responder reply, Services& services) const {
    const PathMap::Match match = sites_.find(request.sitePath());
    if (match.site == nullptr) return std::move(reply).send(Response::notFound());
    request.mountLength += match.mountLength;
    match.site->handle(std::move(request), std::move(reply), services);
  }

  AcceptedBody takes(std::string_view sitePath) const {
    const PathMap::Match match = sites_.find(sitePath);
    if (match.site == nullptr) return AcceptedBody::kNothing;
    return match.site->takes(sitePath.substr(match.mountLength));
  }

  UploadRight uploadRight(const Request& request, std::string_view sitePath) const {
    const PathMap::Match match = sites_.find(sitePath);
    if (match.site == nullptr) return UploadRight::kNone;
    return match.site->uploadRight(request, sitePath.substr(match.mountLength));
  }

  std::string_view tokenName(const Request& request, std::string_view sitePath) const {
    const PathMap::Match match = sites_.find(sitePath);
    if (match.site == nullptr) return {};
    return match.site->tokenName(request, sitePath.substr(match.mountLength));
  }

  bool keepsTime(std::string_view sitePath) const {
    const PathMap::Match match = sites_.find(sitePath);
    return match.site != nullptr && match.site->keepsTime(sitePath.substr(match.mountLength));
  }

  bool takesEncodedSlash(std::string_view sitePath) const {
    const PathMap::Match match = sites_.find(sitePath);
    return match.site != nullptr &&
           match.site->takesEncodedSlash(sitePath.substr(match.mountLength));
  }

  bool hidesQuery(std::string_view sitePath) const {
    const PathMap::Match match = sites_.find(sitePath);
    return match.site != nullptr && match.site->hidesQuery(sitePath.substr(match.mountLength));
  }

 private:
  PathMap sites_;
};

}  // namespace egalaxyd
