#include "common/shared_state.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "common/errno_error.h"

namespace egalaxyd {

std::uint64_t WorkerSlot::value(Counter counter) const {
  const auto index = static_cast<std::size_t>(counter);
  if (index < kCountedCounters) return counters[index].load(std::memory_order_relaxed);
  const std::size_t digit = index - kCountedCounters;  // that the status begins with; 0: any
  std::uint64_t sum = 0;
  for (const auto& statuses : answers) {
    for (std::size_t status = 0; status < statuses.size(); ++status) {
      if (digit != 0 && digit != (status < 10 ? status : status / 10)) continue;
      sum += statuses[status].load(std::memory_order_relaxed);
    }
  }
  return sum;
}

static_assert(TurnQueue::kSeats >= SharedState::kSlots);

struct SharedState::Block {
  std::uint64_t seed = 0;
  /// One past the highest slot in use so far: sums and look-ups stop there.
  std::atomic<std::size_t> used = 0;
  std::chrono::steady_clock::time_point made;
  std::array<WorkerSlot, kSlots> slots;
  RateTable rates;
  TurnQueue writers;
};

Result<std::unique_ptr<SharedState>> SharedState::create() {
  void* memory = ::mmap(nullptr, sizeof(Block), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return errnoError("mmap shared memory", errno);
  // The kernel hands out zeroed pages, and zero is the start of every member; running all
  // constructors would touch all 29 MB.
  auto* block = static_cast<Block*>(memory);
  if (::getrandom(&block->seed, sizeof block->seed, 0) != sizeof block->seed) {
    return errnoError("getrandom", errno);
  }
  block->made = std::chrono::steady_clock::now();
  return std::unique_ptr<SharedState>(new SharedState(block));
}

SharedState::~SharedState() { ::munmap(block_, sizeof(Block)); }

TurnQueue& SharedState::writers() { return block_->writers; }

WorkerSlot& SharedState::slot(std::size_t index) {
  std::size_t used = block_->used.load(std::memory_order_relaxed);
  while (used <= index && !block_->used.compare_exchange_weak(used, index + 1)) {
  }
  return block_->slots[index];
}

const WorkerSlot& SharedState::slot(std::size_t index) const { return block_->slots[index]; }

void SharedState::workerGone(std::size_t index) {
  block_->writers.leave(index);
  WorkerSlot& gone = slot(index);
  for (auto& gauge : gone.gauges) gauge.store(0, std::memory_order_relaxed);
  for (auto& row : gone.addresses.rows) {
    for (auto& bucket : row) {
      if (bucket.load(std::memory_order_relaxed) != 0) bucket.store(0, std::memory_order_relaxed);
    }
  }
}

std::uint64_t SharedState::total(Counter counter) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block_->used.load(std::memory_order_relaxed); ++i) {
    sum += block_->slots[i].value(counter);
  }
  return sum;
}

std::int64_t SharedState::total(Gauge gauge) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < block_->used.load(std::memory_order_relaxed); ++i) {
    sum += block_->slots[i].gauges[static_cast<std::size_t>(gauge)].load(std::memory_order_relaxed);
  }
  return sum;
}

std::uint64_t SharedState::answers(Protocol protocol, int status) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block_->used.load(std::memory_order_relaxed); ++i) {
    sum += block_->slots[i]
               .answers[static_cast<std::size_t>(protocol)][static_cast<std::size_t>(status)]
               .load(std::memory_order_relaxed);
  }
  return sum;
}

Latencies SharedState::latencies(Protocol protocol, Span span) const {
  Latencies sum;
  for (std::size_t i = 0; i < block_->used.load(std::memory_order_relaxed); ++i) {
    sum.add(block_->slots[i]
                .latencies[static_cast<std::size_t>(protocol)][static_cast<std::size_t>(span)]);
  }
  return sum;
}

bool SharedState::takeAddress(std::size_t slot, const IpAddress& client, std::uint32_t most) {
  const auto buckets = bucketsOf(client);
  if (most > 0) {
    std::uint32_t held = UINT32_MAX;
    for (std::size_t row = 0; row < AddressCounts::kRows; ++row) {
      std::uint32_t sum = 0;
      for (std::size_t i = 0; i < block_->used.load(std::memory_order_relaxed); ++i) {
        sum += block_->slots[i].addresses.rows[row][buckets[row]].load(std::memory_order_relaxed);
      }
      held = std::min(held, sum);
    }
    if (held >= most) return false;
  }
  for (std::size_t row = 0; row < AddressCounts::kRows; ++row) {
    this->slot(slot).addresses.rows[row][buckets[row]].fetch_add(1, std::memory_order_relaxed);
  }
  return true;
}

void SharedState::releaseAddress(std::size_t slot, const IpAddress& client) {
  const auto buckets = bucketsOf(client);
  for (std::size_t row = 0; row < AddressCounts::kRows; ++row) {
    this->slot(slot).addresses.rows[row][buckets[row]].fetch_sub(1, std::memory_order_relaxed);
  }
}

std::optional<std::chrono::milliseconds> SharedState::countRequest(const IpAddress& client,
                                                                   const RatePolicy& policy) {
  return block_->rates.count(client.limitKey(), block_->seed, age(), policy);
}

RateTable::Limited SharedState::rateLimited(const RatePolicy& policy, std::size_t most) const {
  return block_->rates.limited(block_->seed, age(), policy, most);
}

std::size_t SharedState::clearRateLimits(const RatePolicy& policy,
                                         const std::optional<IpAddress>& client) {
  if (!client) return block_->rates.clearAll(age(), policy);
  return block_->rates.clear(*client, block_->seed, age(), policy) ? 1 : 0;
}

std::chrono::milliseconds SharedState::age() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               block_->made);
}

std::array<std::size_t, AddressCounts::kRows> SharedState::bucketsOf(
    const IpAddress& client) const {
  const std::uint64_t hash = seededHash(client.limitKey(), block_->seed);
  return {hash % AddressCounts::kBuckets, (hash >> 32) % AddressCounts::kBuckets};
}

}  // namespace egalaxyd
