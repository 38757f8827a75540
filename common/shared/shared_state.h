// The memory that master and workers share: counters, one slot per worker process. Made by the
// master before the first fork; outlives every worker, so totals never go backwards.
//
// A process may have been taken over, so none can write what is another's. Each slot is a memory
// file of its own, mapped twice: to write, which the master and the slot's own worker may, and to
// read, for all. What all write is the table of rate limits, the queue of writers and the board of
// the database; seed and clock are each process's copy.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/shared/database_board.h"
#include "common/shared/fault_ring.h"
#include "common/shared/latency.h"
#include "common/shared/rate_table.h"
#include "common/shared/turn_queue.h"
#include "common/shared/upstream_counts.h"
#include "common/wire/ip_address.h"
#include "common/wire/protocol.h"

namespace egalaxyd {

/// Totals since the master's start. They only grow.
enum class Counter : std::size_t {
  kConnections,         ///< accepted
  kConnectionsRefused,  ///< closed at once: too many from one address
  kConnectionsDenied,   ///< closed at once: listen.deny
  kHandshakes,          ///< completed
  kHandshakesFailed,
  kRateLimited,  ///< requests answered 44
  kTimeouts,     ///< connections closed at a deadline
  kBytesIn,      ///< request bytes, after decryption
  kBytesOut,     ///< response bytes, before encryption
  kLogLinesDropped,
  kUploadsStored,  ///< files written or replaced
  kUploadsDeleted,
  kUploadsRefused,
  kUploadBytes,  ///< of stored files
  kScriptsStarted,
  kScriptsRefused,  ///< not started: no place, no launcher, not executable
  kScriptsFailed,   ///< no whole or no right answer
  kScriptsLate,     ///< ended at a deadline
  kScriptsKilled,   ///< by us, for whatever reason
  // Sums over the answers, which are what is counted:
  kRequests,  ///< answered, whatever the status
  kStatus1x,
  kStatus2x,
  kStatus3x,
  kStatus4x,
  kStatus5x,
  kStatus6x,
  kCount_
};
/// Those before this one are counted with WorkerSlot::add.
inline constexpr std::size_t kCountedCounters = static_cast<std::size_t>(Counter::kRequests);

/// As statistics name them, in the order in which they are shown.
inline constexpr std::array<std::pair<Counter, std::string_view>,
                            static_cast<std::size_t>(Counter::kCount_)>
    kCounterNames{{{Counter::kConnections, "connections"},
                   {Counter::kConnectionsRefused, "connections_refused"},
                   {Counter::kConnectionsDenied, "connections_denied"},
                   {Counter::kHandshakes, "handshakes"},
                   {Counter::kHandshakesFailed, "handshakes_failed"},
                   {Counter::kRequests, "requests"},
                   {Counter::kRateLimited, "rate_limited"},
                   {Counter::kTimeouts, "timeouts"},
                   {Counter::kBytesIn, "bytes_in"},
                   {Counter::kBytesOut, "bytes_out"},
                   {Counter::kStatus1x, "status_1x"},
                   {Counter::kStatus2x, "status_2x"},
                   {Counter::kStatus3x, "status_3x"},
                   {Counter::kStatus4x, "status_4x"},
                   {Counter::kStatus5x, "status_5x"},
                   {Counter::kStatus6x, "status_6x"},
                   {Counter::kLogLinesDropped, "log_lines_dropped"},
                   {Counter::kUploadsStored, "uploads_stored"},
                   {Counter::kUploadsDeleted, "uploads_deleted"},
                   {Counter::kUploadsRefused, "uploads_refused"},
                   {Counter::kUploadBytes, "upload_bytes"},
                   {Counter::kScriptsStarted, "scripts_started"},
                   {Counter::kScriptsRefused, "scripts_refused"},
                   {Counter::kScriptsFailed, "scripts_failed"},
                   {Counter::kScriptsLate, "scripts_late"},
                   {Counter::kScriptsKilled, "scripts_killed"}}};
static_assert(!kCounterNames.back().second.empty(), "each counter has a name");

/// Stretches of a request's time that are measured.
enum class Span : std::size_t {
  kHandshake,  ///< from accept to a TLS connection that is ready
  kFirstByte,  ///< from a whole request line to the first bytes of its answer
  kRequest,    ///< from accept to the end of the answer
  kCount_
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(Span::kCount_)> kSpanNames{
    "handshake", "first_byte", "request"};
static_assert(!kSpanNames.back().empty(), "each span has a name");

/// One more than the highest status of any protocol.
inline constexpr int kStatusEnd = 70;

/// Values of now; the master clears those of a dead worker.
enum class Gauge : std::size_t {
  kOpenConnections,
  kExchanges,
  kProgramRequests,  ///< being answered by scripts and applications
  kScriptsRunning,
  kScriptsQueued,  ///< waiting for a place, or being started
  kStorageJobs,    ///< not answered yet
  kStorageLanes,   ///< storage threads whose engine works
  kCount_
};
/// What is counted by address.
enum class PerAddress : std::size_t { kConnections, kProgramRequests, kCount_ };
/// As many descriptors as a process can have: a gauge beyond lies.
inline constexpr std::int64_t kMostOfGauge = 1 << 20;

/// How many connections each address holds, counted in two rows of buckets under two seeded hashes;
/// the smaller bucket is the answer, so a stranger's collision rarely counts against anyone.
struct AddressCounts {
  static constexpr std::size_t kRows = 2;
  static constexpr std::size_t kBuckets = 16'384;
  std::array<std::array<std::atomic<std::uint16_t>, kBuckets>, kRows> rows{};
};

/// Written by one worker process, read by all.
struct alignas(64) WorkerSlot {
  std::array<std::atomic<std::uint64_t>, kCountedCounters> counters{};
  std::array<std::atomic<std::int64_t>, static_cast<std::size_t>(Gauge::kCount_)> gauges{};
  /// Requests answered, by protocol and status.
  std::array<std::array<std::atomic<std::uint64_t>, kStatusEnd>, kProtocols.size()> answers{};
  std::array<std::array<LatencyHistogram, static_cast<std::size_t>(Span::kCount_)>,
             kProtocols.size()>
      latencies;
  /// Grows by one about every second while the worker's loop runs.
  std::atomic<std::uint64_t> heartbeat;
  /// KiB that the process uses, as it last looked; 0: not yet.
  std::atomic<std::uint64_t> memory;
  /// What its log last said.
  FaultRing faults;
  std::array<AddressCounts, static_cast<std::size_t>(PerAddress::kCount_)> addresses;
  /// By UpstreamMount::number.
  std::array<UpstreamCounts, kCountedUpstreams> upstreams;

  void add(Counter counter, std::uint64_t n = 1) {
    counters[static_cast<std::size_t>(counter)].fetch_add(n, std::memory_order_relaxed);
  }
  void add(Gauge gauge, std::int64_t n) {
    gauges[static_cast<std::size_t>(gauge)].fetch_add(n, std::memory_order_relaxed);
  }
  void set(Gauge gauge, std::size_t n) {
    gauges[static_cast<std::size_t>(gauge)].store(static_cast<std::int64_t>(n),
                                                  std::memory_order_relaxed);
  }
  std::uint64_t value(Counter counter) const;
  std::int64_t value(Gauge gauge) const {
    const auto held = gauges[static_cast<std::size_t>(gauge)].load(std::memory_order_relaxed);
    return std::clamp<std::int64_t>(held, 0, kMostOfGauge);
  }
  /// `status` as the protocol writes it, e.g. 51 for Gemini, 4 for Spartan.
  void addAnswer(Protocol protocol, int status) {
    answers[static_cast<std::size_t>(protocol)][static_cast<std::size_t>(status)].fetch_add(
        1, std::memory_order_relaxed);
  }
  void addLatency(Protocol protocol, Span span, std::chrono::nanoseconds time) {
    latencies[static_cast<std::size_t>(protocol)][static_cast<std::size_t>(span)].add(time);
  }
};

/// Any process; lock-free: a worker killed in the middle leaves nothing locked but its turn, which
/// workerGone() gives back.
class SharedState {
 public:
  /// Slots that can be in use at once: workers of the running generation and of those that drain.
  static constexpr std::size_t kSlots = 256;

  /// Pages that no one touches cost nothing.
  static Result<std::unique_ptr<SharedState>> create();
  ~SharedState();
  SharedState(const SharedState&) = delete;
  SharedState& operator=(const SharedState&) = delete;

  /// While it lives, a process that is forked can write to one slot, and to what all write; any
  /// other process that the master forks can write to nothing.
  class Lending {
   public:
    Lending(SharedState& state, std::size_t slot) : state_(state), slot_(slot) {
      state_.lend(slot_, true);
    }
    ~Lending() { state_.lend(slot_, false); }
    Lending(const Lending&) = delete;
    Lending& operator=(const Lending&) = delete;

   private:
    SharedState& state_;
    const std::size_t slot_;
  };

  /// To write: the master, or the worker whose slot it is. It counts in sums from now on.
  WorkerSlot& slot(std::size_t index);
  /// To read.
  const WorkerSlot& slot(std::size_t index) const;
  /// What the worker in this slot held is held no more: clears its gauges, address counts and
  /// upstreams, and its turn goes on.
  void workerGone(std::size_t index);

  /// Whose turn it is to write to the storage; a worker's seat is its slot. What is not in here,
  /// such as a tool at the database, is kept out by the storage's own lock.
  TurnQueue& writers();
  /// Of the database that this host shares with others.
  DatabaseBoard& database();
  const DatabaseBoard& database() const;

  std::uint64_t total(Counter counter) const;
  std::int64_t total(Gauge gauge) const;
  /// The total as the worker of slot `own` has to take it: none of the others counts for more than
  /// `mostOfOthers`, whatever it writes there.
  std::int64_t held(Gauge gauge, std::size_t own, std::int64_t mostOfOthers) const;
  /// Whether the worker in this slot counts no more than `most` connections, by address too.
  bool isPlausible(std::size_t index, std::uint64_t most) const;
  std::uint64_t answers(Protocol protocol, int status) const;
  Latencies latencies(Protocol protocol, Span span) const;
  /// Of all workers that there were, in no order.
  std::vector<Fault> recentFaults() const;

  /// Takes a place for something of `client` (its limitKey) in `slot`; false when all workers
  /// together already hold `most` of that client. 0 = no limit.
  bool takeAddress(std::size_t slot, PerAddress what, const IpAddress& client, std::uint32_t most);
  void releaseAddress(std::size_t slot, PerAddress what, const IpAddress& client);

  /// Counts one request of `client`; nullopt: it may pass, else how long it has to wait.
  std::optional<std::chrono::milliseconds> countRequest(const IpAddress& client,
                                                        const RatePolicy& policy);
  /// Takes one back, see RateTable::giveBack().
  void giveRequestBack(const IpAddress& client, const RatePolicy& policy);
  /// Those who are being made to wait now; at most `most` of them by address.
  RateTable::Limited rateLimited(const RatePolicy& policy, std::size_t most) const;
  /// Forgets one of them (a limitKey), or all; how many.
  std::size_t clearRateLimits(const RatePolicy& policy, const std::optional<IpAddress>& client);

 private:
  struct Roster;
  struct Common;

  SharedState() = default;
  Result<void> map();
  void lend(std::size_t slot, bool lent);
  /// One past the highest slot in use so far: sums and look-ups stop there.
  std::size_t used() const;
  std::array<std::size_t, AddressCounts::kRows> bucketsOf(const IpAddress& client) const;
  std::chrono::milliseconds age() const;

  std::uint64_t seed_ = 0;
  std::chrono::steady_clock::time_point made_;
  std::size_t stride_ = 0;         ///< from one slot to the next; the roster stands behind the last
  std::byte* writable_ = nullptr;  ///< all of it in the master, one slot in a worker
  std::byte* readable_ = nullptr;
  Common* common_ = nullptr;
};

}  // namespace egalaxyd
