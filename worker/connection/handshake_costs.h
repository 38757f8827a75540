// What the handshakes of each client address have cost lately. Pure bookkeeping.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "common/loop/event_loop.h"
#include "common/wire/ip_address.h"

namespace egalaxyd {

/// One per worker, of a fixed size (28 KiB). Addresses are grouped by IpAddress::limitKey. Loop
/// thread only.
class HandshakeCosts {
 public:
  /// CPU time that is free per step; a usual step takes 0.3 ms. So many normal clients behind one
  /// address do not make it costly.
  static constexpr auto kUsual = std::chrono::milliseconds(2);
  /// More CPU time than this makes an address costly.
  static constexpr auto kAllowance = std::chrono::milliseconds(20);
  /// Charges are forgiven at one percent of a CPU (1 ms every 100 ms), and never exceed kMost.
  static constexpr int kForgivenessTakes = 100;
  static constexpr auto kMost = std::chrono::milliseconds(600);
  static constexpr std::size_t kSets = 128;
  static constexpr std::size_t kWays = 8;

  /// `seed` keeps attackers from choosing addresses that share a set.
  explicit HandshakeCosts(std::uint64_t seed) : seed_(seed) {}

  /// `cpu`: of one step of a handshake.
  void charge(const IpAddress& client, Clock::duration cpu, Clock::time_point now);
  /// Whether the address's handshakes have to wait behind those of others. A full set keeps its
  /// most costly addresses; one that found no place in it is not costly.
  bool isCostly(const IpAddress& client, Clock::time_point now) const;

 private:
  struct Account {
    IpAddress client;
    Clock::time_point clear{};  ///< when all charges are forgiven
  };

  std::size_t setOf(const IpAddress& key) const;

  const std::uint64_t seed_;
  std::array<std::array<Account, kWays>, kSets> accounts_{};
};

}  // namespace egalaxyd
