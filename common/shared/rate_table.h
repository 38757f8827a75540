// Who asks too often: requests per client address, counted in shared memory by all workers.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/wire/ip_address.h"

namespace egalaxyd {

/// How much a client may ask.
struct RatePolicy {
  std::uint32_t requests = 20;  ///< per `per`, at most kMaxRequests
  std::chrono::milliseconds per{60'000};
  /// After one request too many. Requests during it start it anew when they exceed the rate as
  /// well, RateTable::kMostRestarts times at most: neighbours behind one address, each within the
  /// rate, do not keep each other out for good.
  std::chrono::milliseconds penalty{60'000};
};

/// A client that is being made to wait.
struct LimitedClient {
  IpAddress address;  ///< a limitKey
  std::chrono::milliseconds remaining{};
  std::uint32_t refused =
      0;  ///< requests since the penalty last began; kMostRefused: so many or more
};

/// A fixed number of places in sets of kWays; a client's hash names its set. Each place is one word
/// that is changed by compare-and-swap alone: no lock to be left behind by a worker that is killed,
/// no request counted twice or not at all. A full set forgets the client that it has not heard of
/// for longest. Lives in zeroed shared memory; never constructed.
///
/// A place knows its client by hash alone. Who is made to wait has the address written beside the
/// place, for people to read; nothing is decided by it, and one that does not fit the place's hash
/// (a worker died, or wrote at this moment) counts as not known.
class RateTable {
 public:
  static constexpr std::uint32_t kMaxRequests = 8'000;
  static constexpr std::uint32_t kMostRefused = 0x1fff;
  static constexpr std::uint32_t kMostRestarts = 3;
  static constexpr std::size_t kWays = 8;
  static constexpr std::size_t kSets = 16'384;

  /// Counts one request of `client` (an address's limitKey) at `now`, a time since the master's
  /// start. nullopt: it may pass; else how long the client has to wait.
  std::optional<std::chrono::milliseconds> count(const IpAddress& client, std::uint64_t seed,
                                                 std::chrono::milliseconds now,
                                                 const RatePolicy& policy);

  /// Takes back a request of `client` that count() has counted and that is not to count. A penalty
  /// that it began ends, one that was there goes on.
  void giveBack(const IpAddress& client, std::uint64_t seed, std::chrono::milliseconds now,
                const RatePolicy& policy);

  struct Limited {
    std::size_t total = 0;
    std::vector<LimitedClient> clients;  ///< of those, the known ones, as many as asked for
  };
  /// Those who are being made to wait now.
  Limited limited(std::uint64_t seed, std::chrono::milliseconds now, const RatePolicy& policy,
                  std::size_t most) const;
  /// Forgets a client (a limitKey) that is being made to wait; false when it is not.
  bool clear(const IpAddress& client, std::uint64_t seed, std::chrono::milliseconds now,
             const RatePolicy& policy);
  /// Forgets all who are being made to wait; how many.
  std::size_t clearAll(std::chrono::milliseconds now, const RatePolicy& policy);

 private:
  using Address = std::array<std::atomic<std::uint64_t>, 2>;
  static void writeAddress(Address& place, const IpAddress& client);
  static IpAddress readAddress(const Address& place);

  std::array<std::array<std::atomic<std::uint64_t>, kWays>, kSets> sets_;
  std::array<std::array<Address, kWays>, kSets> addresses_;
};

/// A limitKey as people write it: "192.0.2.1", "2001:db8::/64".
std::string limitText(const IpAddress& client);
/// The limitKey of such a text, or of any address.
std::optional<IpAddress> parseLimitText(std::string_view text);

/// A hash of the address under a secret seed, so that no one can aim at another's place.
std::uint64_t seededHash(const IpAddress& client, std::uint64_t seed);

}  // namespace egalaxyd
