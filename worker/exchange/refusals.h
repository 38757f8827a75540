// Counts refusals by address within a second, to bound the log lines that a flood causes and what
// it costs to answer it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/wire/ip_address.h"

namespace egalaxyd {

/// Also bounds how fast a client that has to wait can guess tokens. One per worker, of a fixed
/// size. Addresses are grouped by IpAddress::limitKey. Loop thread only.
class Refusals {
 public:
  static constexpr std::size_t kMostAddresses = 64;
  /// Connections of one address that are answered (44) in a second; the others are closed.
  static constexpr std::uint32_t kMostAnswers = 20;

  explicit Refusals(AddressMask mask) : mask_(mask) {}

  /// Counts a connection of an address that has to wait. False: the address got its answers in this
  /// second, so the connection is closed unanswered; it counts as a refusal without a line. Always
  /// true for an address that found no room.

  bool mayAnswer(const IpAddress& client);
  /// Whether a token of an address that has to wait is looked at: not when one was wrong in this
  /// second already.
  bool mayTryToken(const IpAddress& client);
  void tokenWasWrong(const IpAddress& client);
  /// Counts a refusal; returns whether it gets a log line of its own. The first of its address in
  /// this second does, if there is room for the address.
  bool mayLog(const IpAddress& client);
  /// Logs how many got no line, by address, and begins the next second.
  void tell();

 private:
  struct Entry {
    IpAddress client;  ///< a limitKey
    std::uint32_t answers = 0;
    bool logged = false;
    bool wrongToken = false;
    std::uint64_t more = 0;  ///< refusals without a line
  };

  Entry* find(const IpAddress& client);

  const AddressMask mask_;
  std::array<Entry, kMostAddresses> entries_{};
  std::size_t used_ = 0;      ///< entries in use
  std::uint64_t others_ = 0;  ///< refusals of addresses that found no room, without a line
};

}  // namespace egalaxyd
