#include "common/rate_table.h"

#include <algorithm>
#include <cstring>

namespace egalaxyd {
namespace {

/// Times are kept in tenths of a second: 32 bits last for 13 years.
constexpr std::int64_t kTick = 100;

/// A place unpacked: 18 bits of the hash tell clients of one set apart, at most 8 of them.
struct Place {
  std::uint32_t tag = 0;    ///< 18 bits
  std::uint32_t count = 0;  ///< 13 bits: requests in this period
  bool penalised = false;
  std::uint32_t since = 0;  ///< ticks: start of the period or of the penalty

  static Place unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 46), static_cast<std::uint32_t>(word >> 33) & 0x1fff,
            ((word >> 32) & 1) != 0, static_cast<std::uint32_t>(word)};
  }
  std::uint64_t pack() const {
    return (std::uint64_t{tag} << 46) | (std::uint64_t{count & 0x1fff} << 33) |
           (std::uint64_t{penalised} << 32) | since;
  }
};

std::uint32_t ticks(std::chrono::milliseconds time) {
  return static_cast<std::uint32_t>((time.count() + kTick - 1) / kTick);
}

/// What one more request at `now` makes of `place`.
Place advance(Place place, std::uint32_t now, const RatePolicy& policy) {
  const std::uint32_t age = now - std::min(place.since, now);
  const std::uint32_t lasts = ticks(place.penalised ? policy.penalty : policy.per);
  if (place.count == 0 || age >= lasts) {
    place.since = now;
    place.count = 1;
    place.penalised = false;
  } else if (place.penalised || place.count >= policy.requests) {
    place.since = now;
    place.penalised = true;
  } else {
    ++place.count;
  }
  return place;
}

}  // namespace

std::uint64_t seededHash(const IpAddress& client, std::uint64_t seed) {
  // splitmix64 over the address's two halves.
  std::uint64_t halves[2];
  std::memcpy(halves, client.bytes().data(), sizeof halves);
  std::uint64_t hash = seed;
  for (const std::uint64_t half : halves) {
    hash += half + 0x9e3779b97f4a7c15;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
    hash ^= hash >> 31;
  }
  return hash;
}

std::optional<std::chrono::milliseconds> RateTable::count(const IpAddress& client,
                                                          std::uint64_t seed,
                                                          std::chrono::milliseconds now,
                                                          const RatePolicy& policy) {
  const std::uint64_t hash = seededHash(client, seed);
  auto& set = sets_[hash % kSets];
  const auto tag = static_cast<std::uint32_t>(hash >> 46);
  const std::uint32_t tick = static_cast<std::uint32_t>(now.count() / kTick) + 1;
  for (;;) {
    // The client's own place, else the first free one, else the one unheard of for longest. Two
    // workers that meet a new client at once choose the same place, and one of them looks again.
    std::atomic<std::uint64_t>* chosen = nullptr;
    std::uint64_t before = 0;
    for (auto& way : set) {
      const std::uint64_t word = way.load(std::memory_order_relaxed);
      const Place place = Place::unpack(word);
      if (word != 0 && place.tag == tag) {
        chosen = &way;
        before = word;
        break;
      }
      const bool older = chosen == nullptr || place.since < Place::unpack(before).since;
      if (older && (chosen == nullptr || before != 0)) {
        chosen = &way;
        before = word;
      }
    }
    Place place = Place::unpack(before);
    if (before == 0 || place.tag != tag) place = Place{.tag = tag};
    const Place after = advance(place, tick, policy);
    if (!chosen->compare_exchange_strong(before, after.pack(), std::memory_order_relaxed)) continue;
    if (!after.penalised) return std::nullopt;
    return policy.penalty;
  }
}

std::size_t RateTable::penalised(std::chrono::milliseconds now, const RatePolicy& policy) const {
  const std::uint32_t tick = static_cast<std::uint32_t>(now.count() / kTick) + 1;
  std::size_t sum = 0;
  for (const auto& set : sets_) {
    for (const auto& way : set) {
      const std::uint64_t word = way.load(std::memory_order_relaxed);
      if (word == 0) continue;
      const Place place = Place::unpack(word);
      if (place.penalised && tick - std::min(place.since, tick) < ticks(policy.penalty)) ++sum;
    }
  }
  return sum;
}

}  // namespace egalaxyd
