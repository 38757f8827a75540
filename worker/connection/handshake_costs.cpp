#include "worker/connection/handshake_costs.h"

#include <algorithm>

#include "common/shared/rate_table.h"

namespace egalaxyd {

void HandshakeCosts::charge(const IpAddress& client, Clock::duration cpu, Clock::time_point now) {
  if (cpu <= kUsual) return;
  const IpAddress key = client.limitKey();
  auto& set = accounts_[setOf(key)];
  const auto known = std::ranges::find(set, key, &Account::client);
  const bool isKnown = known != set.end();
  Account& account = isKnown ? *known : *std::ranges::min_element(set, {}, &Account::clear);
  const Clock::time_point from = isKnown ? std::max(account.clear, now) : now;
  const Clock::time_point clear =
      std::min(from + kForgivenessTakes * (cpu - kUsual), now + kForgivenessTakes * kMost);
  if (!isKnown && account.clear >= clear) return;
  account = {key, clear};
}

bool HandshakeCosts::isCostly(const IpAddress& client, Clock::time_point now) const {
  const IpAddress key = client.limitKey();
  const auto& set = accounts_[setOf(key)];
  const auto known = std::ranges::find(set, key, &Account::client);
  return known != set.end() && known->clear > now + kForgivenessTakes * kAllowance;
}

std::size_t HandshakeCosts::setOf(const IpAddress& key) const {
  return seededHash(key, seed_) % kSets;
}

}  // namespace egalaxyd
