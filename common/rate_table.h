// Who asks too often: requests per client address, counted in shared memory by all workers.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/ip_address.h"

namespace egalaxyd {

/// How much a client may ask.
struct RatePolicy {
  std::uint32_t requests = 20;  ///< per `per`, at most kMaxRequests
  std::chrono::milliseconds per{60'000};
  /// After one request too many; another one during it starts it anew.
  std::chrono::milliseconds penalty{60'000};
};

/// A fixed number of places in sets of kWays; a client's hash names its set. Each place is one word
/// that is changed by compare-and-swap alone: no lock to be left behind by a worker that is killed,
/// no request counted twice or not at all. A full set forgets the client that it has not heard of
/// for longest. Lives in zeroed shared memory; never constructed.
class RateTable {
 public:
  static constexpr std::uint32_t kMaxRequests = 8'000;
  static constexpr std::size_t kWays = 8;
  static constexpr std::size_t kSets = 16'384;

  /// Counts one request of `client` (an address's limitKey) at `now`, a time since the master's
  /// start. nullopt: it may pass; else how long the client has to wait.
  std::optional<std::chrono::milliseconds> count(const IpAddress& client, std::uint64_t seed,
                                                 std::chrono::milliseconds now,
                                                 const RatePolicy& policy);

  /// Clients that are being made to wait now.
  std::size_t penalised(std::chrono::milliseconds now, const RatePolicy& policy) const;

 private:
  std::array<std::array<std::atomic<std::uint64_t>, kWays>, kSets> sets_;
};

/// A hash of the address under a secret seed, so that no one can aim at another's place.
std::uint64_t seededHash(const IpAddress& client, std::uint64_t seed);

}  // namespace egalaxyd
