// The block of memory that master and workers share: counters, one slot per worker process.
// Made by the master before the first fork; outlives every worker, so totals never go backwards.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "common/ip_address.h"
#include "common/rate_table.h"
#include "common/result.h"

namespace egalaxyd {

/// Totals since the master's start. They only grow.
enum class Counter : std::size_t {
  kConnections,         ///< accepted
  kConnectionsRefused,  ///< closed at once: too many from one address
  kHandshakes,          ///< completed
  kHandshakesFailed,
  kRequests,     ///< answered, whatever the status
  kRateLimited,  ///< requests answered 44
  kTimeouts,     ///< connections closed at a deadline
  kBytesIn,      ///< request bytes, after decryption
  kBytesOut,     ///< response bytes, before encryption
  kStatus1x,
  kStatus2x,
  kStatus3x,
  kStatus4x,
  kStatus5x,
  kStatus6x,
  kLogLinesDropped,
  kUploadsStored,  ///< files written or replaced
  kUploadsDeleted,
  kUploadsRefused,
  kUploadBytes,  ///< of stored files
  kCount_
};

/// Values of now; the master clears those of a dead worker.
enum class Gauge : std::size_t { kOpenConnections, kCount_ };

/// How many connections each address holds, counted in two rows of buckets under two seeded hashes;
/// the smaller bucket is the answer, so a stranger's collision rarely counts against anyone.
struct AddressCounts {
  static constexpr std::size_t kRows = 2;
  static constexpr std::size_t kBuckets = 16'384;
  std::array<std::array<std::atomic<std::uint16_t>, kBuckets>, kRows> rows{};
};

/// Written by one worker process, read by all.
struct alignas(64) WorkerSlot {
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Counter::kCount_)> counters{};
  std::array<std::atomic<std::int64_t>, static_cast<std::size_t>(Gauge::kCount_)> gauges{};
  AddressCounts addresses;

  void add(Counter counter, std::uint64_t n = 1) {
    counters[static_cast<std::size_t>(counter)].fetch_add(n, std::memory_order_relaxed);
  }
  void add(Gauge gauge, std::int64_t n) {
    gauges[static_cast<std::size_t>(gauge)].fetch_add(n, std::memory_order_relaxed);
  }
};

/// Any process; lock-free throughout, so that a worker killed in the middle leaves nothing locked.
class SharedState {
 public:
  /// Slots that can be in use at once: workers of the running generation and of those that drain.
  static constexpr std::size_t kSlots = 256;

  /// An anonymous shared mapping; pages that no one touches cost nothing.
  static Result<std::unique_ptr<SharedState>> create();
  ~SharedState();
  SharedState(const SharedState&) = delete;
  SharedState& operator=(const SharedState&) = delete;

  WorkerSlot& slot(std::size_t index);
  const WorkerSlot& slot(std::size_t index) const;
  /// What the worker in this slot held is held no more: clears its gauges and address counts.
  void workerGone(std::size_t index);

  std::uint64_t total(Counter counter) const;
  std::int64_t total(Gauge gauge) const;

  /// Takes a place for a connection of `client` (its limitKey) in `slot`; false when all workers
  /// together already hold `most` of that client. 0 = no limit.
  bool takeAddress(std::size_t slot, const IpAddress& client, std::uint32_t most);
  void releaseAddress(std::size_t slot, const IpAddress& client);

  /// Counts one request of `client`; nullopt: it may pass, else how long it has to wait.
  std::optional<std::chrono::milliseconds> countRequest(const IpAddress& client,
                                                        const RatePolicy& policy);
  /// Clients that are being made to wait now.
  std::size_t rateLimitedClients(const RatePolicy& policy) const;

 private:
  struct Block;
  explicit SharedState(Block* block) : block_(block) {}
  std::array<std::size_t, AddressCounts::kRows> bucketsOf(const IpAddress& client) const;
  std::chrono::milliseconds age() const;
  Block* block_;
};

}  // namespace egalaxyd
