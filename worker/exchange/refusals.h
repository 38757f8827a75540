// Who was refused how often in this second: what bounds a flood's log lines, and what it costs to
// answer it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/wire/ip_address.h"

namespace egalaxyd {

/// One worker's, of a fixed size. Addresses count by IpAddress::limitKey. Loop thread only.
class Refusals {
 public:
  static constexpr std::size_t kMostAddresses = 64;
  /// Connections of one address that are told in a second how long to wait.
  static constexpr std::uint32_t kMostAnswers = 20;

  explicit Refusals(AddressMask mask) : mask_(mask) {}

  /// One more connection of an address that has to wait. False: it was told often enough in this
  /// second, and the connection is to be closed unanswered; it counts as a refusal without a line.
  bool mayAnswer(const IpAddress& client);
  /// One more refusal. Whether it gets a line of its own: the first of its address in this second
  /// does, as long as there is room for the address.
  bool mayLog(const IpAddress& client);
  /// Logs how many got none, a line for each address, and begins the next second.
  void tell();

 private:
  struct Entry {
    IpAddress client;  ///< a limitKey
    std::uint32_t answers = 0;
    bool logged = false;
    std::uint64_t more = 0;  ///< refusals without a line
  };

  Entry* find(const IpAddress& client);

  const AddressMask mask_;
  std::array<Entry, kMostAddresses> entries_{};
  std::size_t used_ = 0;      ///< of entries_
  std::uint64_t others_ = 0;  ///< refusals of addresses that found no room, without a line
};

}  // namespace egalaxyd
