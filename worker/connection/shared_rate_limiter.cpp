#include "worker/connection/shared_rate_limiter.h"

#include <algorithm>

namespace egalaxyd {

SharedRateLimiter::SharedRateLimiter(const RateLimitConfig& config, SharedState& shared)
    : policy_{.requests = config.requests, .per = config.per, .penalty = config.penalty},
      exempt_(config.exempt),
      shared_(shared) {}

std::optional<std::chrono::seconds> SharedRateLimiter::count(const IpAddress& client) {
  const bool exempt = std::any_of(exempt_.begin(), exempt_.end(),
                                  [&](const Cidr& network) { return network.contains(client); });
  if (exempt) return std::nullopt;
  const auto wait = shared_.countRequest(client, policy_);
  if (!wait) return std::nullopt;
  return std::chrono::ceil<std::chrono::seconds>(*wait);
}

}  // namespace egalaxyd
