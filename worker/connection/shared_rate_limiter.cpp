#include "worker/connection/shared_rate_limiter.h"

#include <algorithm>

namespace egalaxyd {

SharedRateLimiter::SharedRateLimiter(const RateLimitConfig& config, SharedState& shared)
    : policy_{.requests = config.requests, .per = config.per, .penalty = config.penalty},
      exempt_(config.exempt),
      shared_(shared) {}

bool SharedRateLimiter::isExempt(const IpAddress& client) const {
  return std::any_of(exempt_.begin(), exempt_.end(),
                     [&](const Cidr& network) { return network.contains(client); });
}

std::optional<std::chrono::seconds> SharedRateLimiter::count(const IpAddress& client) {
  if (isExempt(client)) return std::nullopt;
  const auto wait = shared_.countRequest(client, policy_);
  if (!wait) return std::nullopt;
  return std::chrono::ceil<std::chrono::seconds>(*wait);
}

void SharedRateLimiter::giveBack(const IpAddress& client) {
  if (!isExempt(client)) shared_.giveRequestBack(client, policy_);
}

}  // namespace egalaxyd
