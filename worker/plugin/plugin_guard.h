// Guards the worker against a plug-in: catches its exceptions, and enforces the contracts of site.h
// and body.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/base/poco_seam.h"
#include "worker/base/rare_error.h"
#include "worker/route/router.h"
#include "worker/site/rate_limiter.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// If the site, or its callback of the request's body, throws, the request is answered 42, whatever
/// the site does with the responder later. If a body's pull() throws, or gives a chunk that
/// BodySource does not allow, the connection ends. Answers and wakes of other threads are passed to
/// the loop's thread.
class GuardedSite final : public Site {
 public:
  /// `name`: for the log.
  GuardedSite(std::shared_ptr<Site> site, std::string name)
      : site_(std::move(site)), name_(std::move(name)) {}
  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view sitePath) const override;
  /// kNone if the site throws.
  UploadRight uploadRight(const Request& request, std::string_view sitePath) const override;
  /// None if the site throws, or gives no name.
  std::string_view tokenName(const Request& request, std::string_view sitePath) const override;
  /// False if the site throws.
  bool takesEncodedSlash(std::string_view sitePath) const override;
  /// True if the site throws.
  bool hidesQuery(std::string_view sitePath) const override;

 private:
  const std::shared_ptr<Site> site_;
  const std::string name_;
};

/// Answers 42 to everything.
class FailedSite final : public Site {
 public:
  void handle(Request request, Responder reply, Services& services) override;
};

/// If the router throws, the request is answered 42. Sites that it finds are guarded too.
class GuardedRouter final : public Router {
 public:
  GuardedRouter(std::shared_ptr<Router> router, std::string name)
      : router_(std::move(router)), name_(std::move(name)) {}
  bool serves(std::string_view host) const override;
  PathMap::Match find(std::string_view host, std::string_view path) const override;

 private:
  const std::shared_ptr<Router> router_;
  const std::string name_;
  mutable RareError errors_;
  mutable FailedSite failed_;
  /// Keyed by the router's own site.
  mutable std::unordered_map<Site*, std::unique_ptr<GuardedSite>> sites_;
};

/// If the limiter throws, the request passes. Waits are limited to between a second and a day.
class GuardedRateLimiter final : public RateLimiter {
 public:
  GuardedRateLimiter(std::shared_ptr<RateLimiter> limiter, std::string name)
      : limiter_(std::move(limiter)), name_(std::move(name)) {}
  std::optional<std::chrono::seconds> count(const IpAddress& client) override;
  void giveBack(const IpAddress& client) override;

 private:
  const std::shared_ptr<RateLimiter> limiter_;
  const std::string name_;
  RareError errors_;
};

}  // namespace egalaxyd
