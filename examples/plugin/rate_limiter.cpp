#include "rate_limiter.h"

#include <algorithm>
#include <cmath>

namespace guestbook {
namespace {

constexpr double kTokens = 10;  ///< a full bucket: the longest burst
constexpr double kTokensPerSecond = 0.5;
constexpr std::size_t kMostBuckets = 10'000;

using Seconds = std::chrono::duration<double>;

}  // namespace

std::optional<std::chrono::seconds> TokenBuckets::count(const egalaxyd::IpAddress& client) {
  const auto now = Clock::now();
  if (buckets_.size() >= kMostBuckets) forgetFull(now);
  auto& bucket = buckets_.try_emplace(client.limitKey(), Bucket{kTokens, now}).first->second;
  bucket.tokens =
      std::min(kTokens, bucket.tokens + Seconds(now - bucket.filled).count() * kTokensPerSecond);
  bucket.filled = now;
  if (bucket.tokens >= 1) {
    bucket.tokens -= 1;
    return std::nullopt;
  }
  return std::chrono::seconds(std::lround(std::ceil((1 - bucket.tokens) / kTokensPerSecond)));
}

/// Removes full buckets, which mean the same as missing ones. If too many remain, all are removed:
/// memory stays bounded, whatever addresses come.
void TokenBuckets::forgetFull(Clock::time_point now) {
  std::erase_if(buckets_, [&](const auto& each) {
    const Bucket& bucket = each.second;
    return bucket.tokens + Seconds(now - bucket.filled).count() * kTokensPerSecond >= kTokens;
  });
  if (buckets_.size() >= kMostBuckets) buckets_.clear();
}

}  // namespace guestbook
