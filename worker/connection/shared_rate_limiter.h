// The built-in rate limit: requests per address, counted by all workers together.
#pragma once

#include <vector>

#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "worker/site/rate_limiter.h"

namespace egalaxyd {

class SharedRateLimiter final : public RateLimiter {
 public:
  /// `shared` must outlive the limiter.
  SharedRateLimiter(const RateLimitConfig& config, SharedState& shared);
  std::optional<std::chrono::seconds> count(const IpAddress& client) override;
  void giveBack(const IpAddress& client) override;

 private:
  bool isExempt(const IpAddress& client) const;

  const RatePolicy policy_;
  const std::vector<Cidr> exempt_;
  SharedState& shared_;
};

}  // namespace egalaxyd
