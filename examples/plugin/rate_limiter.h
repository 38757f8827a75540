// A limit of requests per client that allows bursts.
#pragma once

#include <egalaxyd/plugin.h>

#include <chrono>
#include <map>
#include <optional>

namespace guestbook {

/// A token bucket for each client: a request takes one token, and tokens refill with time. Each
/// worker has its own buckets, since a plug-in's memory is copied at the fork: a client whose
/// connections reach several workers may make that many times as many requests. The built-in
/// limiter counts in shared memory and has no such slack.
class TokenBuckets final : public egalaxyd::RateLimiter {
 public:
  std::optional<std::chrono::seconds> count(const egalaxyd::IpAddress& client) override;

 private:
  using Clock = std::chrono::steady_clock;
  struct Bucket {
    double tokens;
    Clock::time_point filled;
  };
  void forgetFull(Clock::time_point now);

  std::map<egalaxyd::IpAddress, Bucket> buckets_;
};

}  // namespace guestbook
