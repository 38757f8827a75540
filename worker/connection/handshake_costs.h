// What the handshakes of each client address have cost lately. Pure bookkeeping.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "common/loop/event_loop.h"
#include "common/wire/ip_address.h"

namespace egalaxyd {

/// One worker's, of a fixed size (28 KiB). Addresses count by IpAddress::limitKey. Loop thread
/// only.
class HandshakeCosts {
 public:
  /// A usual step of a handshake takes 0.3 ms. Nothing is charged up to this: a crowd behind one
  /// address is not costly for being many.
  static constexpr auto kUsual = std::chrono::milliseconds(2);
  /// More CPU time than this makes an address costly.
  static constexpr auto kAllowance = std::chrono::milliseconds(20);
  /// A debt is forgiven at one percent of a CPU, and never grows beyond kMost.
  static constexpr int kForgivenessTakes = 100;
  static constexpr auto kMost = std::chrono::milliseconds(600);
  static constexpr std::size_t kSets = 128;
  static constexpr std::size_t kWays = 8;

  /// `seed` keeps strangers from choosing addresses that share a set.
  explicit HandshakeCosts(std::uint64_t seed) : seed_(seed) {}

  /// `cpu`: of one step of a handshake.
  void charge(const IpAddress& client, Clock::duration cpu, Clock::time_point now);
  /// Whether its handshakes have to wait behind those of others. An address that a full table had
  /// no place for is not costly: the places are for the most costly of them.
  bool isCostly(const IpAddress& client, Clock::time_point now) const;

 private:
  struct Account {
    IpAddress client;
    Clock::time_point clear{};  ///< when nothing is owed any more
  };

  std::size_t setOf(const IpAddress& key) const;

  const std::uint64_t seed_;
  std::array<std::array<Account, kWays>, kSets> accounts_{};
};

}  // namespace egalaxyd
