#include "worker/dynamic/upstream_turns.h"

#include <algorithm>

namespace egalaxyd {
namespace {

constexpr int kRefusalsInARow = 3;
constexpr auto kLongestPause = std::chrono::minutes(1);

}  // namespace

std::vector<std::size_t> UpstreamTurns::order(Clock::time_point now) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < upstreams_.size(); ++i) {
    order.push_back((next_ + i) % upstreams_.size());
  }
  next_ = (next_ + 1) % upstreams_.size();
  const auto aside = std::stable_partition(order.begin(), order.end(),
                                           [&](std::size_t i) { return !isAside(i, now); });
  std::stable_sort(aside, order.end(), [&](std::size_t a, std::size_t b) {
    return upstreams_[a].asideUntil < upstreams_[b].asideUntil;
  });
  // Those that are set aside cost a request time: one of them is tried, when there is no other.
  if (aside != order.begin()) {
    order.erase(aside, order.end());
  } else {
    order.resize(1);
  }
  return order;
}

void UpstreamTurns::answered(std::size_t upstream) { upstreams_[upstream] = {}; }

void UpstreamTurns::refused(std::size_t upstream, Clock::time_point now) {
  // Requests that failed together are one failure.
  if (isAside(upstream, now)) return;
  Upstream& failed = upstreams_[upstream];
  if (++failed.refusals < kRefusalsInARow) return;
  failed.pause = failed.pause == Clock::duration::zero()
                     ? retryAfter_
                     : std::min<Clock::duration>(failed.pause * 2, kLongestPause);
  failed.asideUntil = now + failed.pause;
}

}  // namespace egalaxyd
