// Between the worker and a plug-in: no exception of the plug-in's gets past, and nothing that
// breaks the contracts of site.h and body.h.
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

/// An exception out of the site, or out of its callback of the request's body, is that request's
/// 42, whatever the site does with the responder later; one out of a body's pull(), or a chunk that
/// BodySource does not allow, ends the connection. Answers and wakes of other threads are brought
/// to the loop's.
class GuardedSite final : public Site {
 public:
  /// `name`: what the log calls it.
  GuardedSite(std::shared_ptr<Site> site, std::string name)
      : site_(std::move(site)), name_(std::move(name)) {}
  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view sitePath) const override;
  /// Yes where the site cannot tell.
  bool hidesQuery(std::string_view sitePath) const override;

 private:
  const std::shared_ptr<Site> site_;
  const std::string name_;
};

/// 42 to everything.
class FailedSite final : public Site {
 public:
  void handle(Request request, Responder reply, Services& services) override;
};

/// An exception is that request's 42. The sites that the router finds are guarded too.
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
  /// By the router's own site.
  mutable std::unordered_map<Site*, std::unique_ptr<GuardedSite>> sites_;
};

/// An exception lets the request pass; a wait is brought between a second and a day.
class GuardedRateLimiter final : public RateLimiter {
 public:
  GuardedRateLimiter(std::shared_ptr<RateLimiter> limiter, std::string name)
      : limiter_(std::move(limiter)), name_(std::move(name)) {}
  std::optional<std::chrono::seconds> count(const IpAddress& client) override;

 private:
  const std::shared_ptr<RateLimiter> limiter_;
  const std::string name_;
  RareError errors_;
};

}  // namespace egalaxyd
