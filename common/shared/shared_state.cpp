#include "common/shared/shared_state.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"

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

/// Written by the master alone.
struct SharedState::Roster {
  std::atomic<std::size_t> used;
};

struct SharedState::Common {
  RateTable rates;
  TurnQueue writers;
  DatabaseBoard database;
};

namespace {

std::size_t roundedUp(std::size_t size, std::size_t unit) {
  return (size + unit - 1) / unit * unit;
}

/// `size` bytes of address space, for mappings to come.
Result<std::byte*> reserve(std::size_t size) {
  void* place =
      ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return errnoError("reserve shared memory", errno);
  return static_cast<std::byte*>(place);
}

bool mapAt(std::byte* place, std::size_t size, int protection, int file) {
  return ::mmap(place, size, protection, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED;
}

/// Maps a new memory file at both places. Once it is sealed, no mapping of it can become writable,
/// whatever mprotect(2) is asked for; and its end keeps mremap(2) from growing into another.
Result<void> mapTwice(std::byte* writable, std::byte* readable, std::size_t size) {
  const UniqueFd file(::memfd_create("egalaxyd", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(size)) != 0 ||
      !mapAt(writable, size, PROT_READ | PROT_WRITE, file.get()) ||
      ::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0 ||
      !mapAt(readable, size, PROT_READ, file.get())) {
    return errnoError("make shared memory", errno);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SharedState>> SharedState::create() {
  std::unique_ptr<SharedState> state(new SharedState);
  if (auto mapped = state->map(); !mapped) return mapped.error();
  if (::getrandom(&state->seed_, sizeof state->seed_, 0) != sizeof state->seed_) {
    return errnoError("getrandom", errno);
  }
  state->made_ = std::chrono::steady_clock::now();
  return state;
}

/// The kernel hands out zeroed pages, and zero is the start of every member; running all
/// constructors would touch all 29 MB.
Result<void> SharedState::map() {
  stride_ = roundedUp(sizeof(WorkerSlot), static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  const std::size_t all = (kSlots + 1) * stride_;
  for (std::byte** place : {&writable_, &readable_}) {
    auto reserved = reserve(all);
    if (!reserved) return reserved.error();
    *place = *reserved;
  }
  for (std::size_t at = 0; at < all; at += stride_) {
    if (auto mapped = mapTwice(writable_ + at, readable_ + at, stride_); !mapped) return mapped;
  }
  void* common = ::mmap(nullptr, sizeof(Common), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (common == MAP_FAILED) return errnoError("make shared memory", errno);
  common_ = static_cast<Common*>(common);
  if (::madvise(writable_, all, MADV_DONTFORK) != 0 ||
      ::madvise(common_, sizeof(Common), MADV_DONTFORK) != 0) {
    return errnoError("keep shared memory from other processes", errno);
  }
  return {};
}

SharedState::~SharedState() {
  if (common_ != nullptr) ::munmap(common_, sizeof(Common));
  for (std::byte* place : {writable_, readable_}) {
    if (place != nullptr) ::munmap(place, (kSlots + 1) * stride_);
  }
}

void SharedState::lend(std::size_t slot, bool lent) {
  const int advice = lent ? MADV_DOFORK : MADV_DONTFORK;
  this->slot(slot);
  ::madvise(writable_ + slot * stride_, stride_, advice);
  ::madvise(common_, sizeof(Common), advice);
}

DatabaseBoard& SharedState::database() { return common_->database; }
const DatabaseBoard& SharedState::database() const { return common_->database; }

std::size_t SharedState::used() const {
  const auto* roster = reinterpret_cast<const Roster*>(readable_ + kSlots * stride_);
  return std::min(roster->used.load(std::memory_order_relaxed), kSlots);
}

TurnQueue& SharedState::writers() { return common_->writers; }

WorkerSlot& SharedState::slot(std::size_t index) {
  if (index >= used()) {  // in the master, since a worker's slot was counted before it was forked
    auto* roster = reinterpret_cast<Roster*>(writable_ + kSlots * stride_);
    roster->used.store(index + 1, std::memory_order_relaxed);
  }
  return *reinterpret_cast<WorkerSlot*>(writable_ + index * stride_);
}

const WorkerSlot& SharedState::slot(std::size_t index) const {
  return *reinterpret_cast<const WorkerSlot*>(readable_ + index * stride_);
}

void SharedState::workerGone(std::size_t index) {
  common_->writers.leave(index);
  WorkerSlot& gone = slot(index);
  for (auto& gauge : gone.gauges) gauge.store(0, std::memory_order_relaxed);
  gone.memory.store(0, std::memory_order_relaxed);
  for (UpstreamCounts& upstream : gone.upstreams) upstream.clear();
  for (AddressCounts& counts : gone.addresses) {
    for (auto& row : counts.rows) {
      for (auto& bucket : row) {
        if (bucket.load(std::memory_order_relaxed) != 0) bucket.store(0, std::memory_order_relaxed);
      }
    }
  }
}

std::uint64_t SharedState::total(Counter counter) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < used(); ++i) sum += slot(i).value(counter);
  return sum;
}

std::int64_t SharedState::total(Gauge gauge) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < used(); ++i) sum += slot(i).value(gauge);
  return sum;
}

std::int64_t SharedState::held(Gauge gauge, std::size_t own, std::int64_t mostOfOthers) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < used(); ++i) {
    const std::int64_t value = slot(i).value(gauge);
    sum += i == own ? value : std::min(value, mostOfOthers);
  }
  return sum;
}

bool SharedState::isPlausible(std::size_t index, std::uint64_t most) const {
  const WorkerSlot& looked = slot(index);
  if (static_cast<std::uint64_t>(looked.value(Gauge::kOpenConnections)) > most) return false;
  const auto isWithin = [&](const auto& row) {
    std::uint64_t sum = 0;
    for (const auto& bucket : row) sum += bucket.load(std::memory_order_relaxed);
    return sum <= most;
  };
  return std::ranges::all_of(looked.addresses, [&](const AddressCounts& counts) {
    return std::ranges::all_of(counts.rows, isWithin);
  });
}

std::uint64_t SharedState::answers(Protocol protocol, int status) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < used(); ++i) {
    sum +=
        slot(i).answers[static_cast<std::size_t>(protocol)][static_cast<std::size_t>(status)].load(
            std::memory_order_relaxed);
  }
  return sum;
}

Latencies SharedState::latencies(Protocol protocol, Span span) const {
  Latencies sum;
  for (std::size_t i = 0; i < used(); ++i) {
    sum.add(slot(i).latencies[static_cast<std::size_t>(protocol)][static_cast<std::size_t>(span)]);
  }
  return sum;
}

std::vector<Fault> SharedState::recentFaults() const {
  std::vector<Fault> all;
  for (std::size_t i = 0; i < used(); ++i) {
    for (Fault& fault : slot(i).faults.recent()) all.push_back(std::move(fault));
  }
  return all;
}

bool SharedState::takeAddress(std::size_t slot, PerAddress what, const IpAddress& client,
                              std::uint32_t most) {
  const auto table = static_cast<std::size_t>(what);
  const auto buckets = bucketsOf(client);
  if (most > 0) {
    std::uint32_t held = UINT32_MAX;
    for (std::size_t row = 0; row < AddressCounts::kRows; ++row) {
      std::uint32_t sum = 0;
      for (std::size_t i = 0; i < used(); ++i) {
        const auto& rows = std::as_const(*this).slot(i).addresses[table].rows;
        sum += rows[row][buckets[row]].load(std::memory_order_relaxed);
      }
      held = std::min(held, sum);
    }
    if (held >= most) return false;
  }
  for (std::size_t row = 0; row < AddressCounts::kRows; ++row) {
    auto& bucket = this->slot(slot).addresses[table].rows[row][buckets[row]];
    bucket.fetch_add(1, std::memory_order_relaxed);
  }
  return true;
}

void SharedState::releaseAddress(std::size_t slot, PerAddress what, const IpAddress& client) {
  const auto table = static_cast<std::size_t>(what);
  const auto buckets = bucketsOf(client);
  for (std::size_t row = 0; row < AddressCounts::kRows; ++row) {
    auto& bucket = this->slot(slot).addresses[table].rows[row][buckets[row]];
    bucket.fetch_sub(1, std::memory_order_relaxed);
  }
}

std::optional<std::chrono::milliseconds> SharedState::countRequest(const IpAddress& client,
                                                                   const RatePolicy& policy) {
  return common_->rates.count(client.limitKey(), seed_, age(), policy);
}

void SharedState::giveRequestBack(const IpAddress& client, const RatePolicy& policy) {
  common_->rates.giveBack(client.limitKey(), seed_, age(), policy);
}

RateTable::Limited SharedState::rateLimited(const RatePolicy& policy, std::size_t most) const {
  return common_->rates.limited(seed_, age(), policy, most);
}

std::size_t SharedState::clearRateLimits(const RatePolicy& policy,
                                         const std::optional<IpAddress>& client) {
  if (!client) return common_->rates.clearAll(age(), policy);
  return common_->rates.clear(*client, seed_, age(), policy) ? 1 : 0;
}

std::chrono::milliseconds SharedState::age() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               made_);
}

std::array<std::size_t, AddressCounts::kRows> SharedState::bucketsOf(
    const IpAddress& client) const {
  const std::uint64_t hash = seededHash(client.limitKey(), seed_);
  return {hash % AddressCounts::kBuckets, (hash >> 32) % AddressCounts::kBuckets};
}

}  // namespace egalaxyd
