#include "common/shared_state.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/errno_error.h"

namespace egalaxyd {

struct SharedState::Block {
  std::uint64_t seed = 0;
  /// One past the highest slot in use so far: sums and look-ups stop there.
  std::atomic<std::size_t> used = 0;
  std::array<WorkerSlot, kSlots> slots;
};

Result<std::unique_ptr<SharedState>> SharedState::create() {
  void* memory = ::mmap(nullptr, sizeof(Block), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return errnoError("mmap shared memory", errno);
  // The kernel hands out zeroed pages, and zero is every member's start; running constructors would
  // touch all 17 MB.
  auto* block = static_cast<Block*>(memory);
  if (::getrandom(&block->seed, sizeof block->seed, 0) != sizeof block->seed) {
    return errnoError("getrandom", errno);
  }
  return std::unique_ptr<SharedState>(new SharedState(block));
}

SharedState::~SharedState() { ::munmap(block_, sizeof(Block)); }

WorkerSlot& SharedState::slot(std::size_t index) {
  std::size_t used = block_->used.load(std::memory_order_relaxed);
  while (used <= index && !block_->used.compare_exchange_weak(used, index + 1)) {
  }
  return block_->slots[index];
}

const WorkerSlot& SharedState::slot(std::size_t index) const { return block_->slots[index]; }

void SharedState::workerGone(std::size_t index) {
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
    sum += block_->slots[i].counters[static_cast<std::size_t>(counter)].load(
        std::memory_order_relaxed);
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

std::array<std::size_t, AddressCounts::kRows> SharedState::bucketsOf(
    const IpAddress& client) const {
  // splitmix64 over the two halves under a secret seed: no one can aim at a bucket.
  std::uint64_t halves[2];
  std::memcpy(halves, client.limitKey().bytes().data(), sizeof halves);
  std::uint64_t hash = block_->seed;
  for (const std::uint64_t half : halves) {
    hash += half + 0x9e3779b97f4a7c15;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
    hash ^= hash >> 31;
  }
  return {hash % AddressCounts::kBuckets, (hash >> 32) % AddressCounts::kBuckets};
}

}  // namespace egalaxyd
