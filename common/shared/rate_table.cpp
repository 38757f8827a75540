#include "common/shared/rate_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace egalaxyd {
namespace {

/// By which IPv6 is counted.
constexpr std::string_view kNetwork = "/64";

/// Times are kept in tenths of a second, modulo 2^30: distances of up to 1.7 years are told.
constexpr std::int64_t kTick = 100;
constexpr std::uint32_t kTimeMask = (1u << 30) - 1;
constexpr std::uint32_t kLongest = kTimeMask / 2;

/// A place unpacked: 18 bits of the hash tell clients of one set apart, at most 8 of them.
struct Place {
  std::uint32_t tag = 0;      ///< 18 bits
  std::uint32_t count = 0;    ///< 13 bits: requests in this period, or refused in this penalty
  std::uint32_t penalty = 0;  ///< 3 bits; 0: none, 1: the first, more: started anew so often
  std::uint32_t since = 0;    ///< 30 bits, ticks: start of the period or of the penalty

  static Place unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 46), static_cast<std::uint32_t>(word >> 33) & 0x1fff,
            static_cast<std::uint32_t>(word >> 30) & 7,
            static_cast<std::uint32_t>(word) & kTimeMask};
  }
  std::uint64_t pack() const {
    return (std::uint64_t{tag} << 46) | (std::uint64_t{count & 0x1fff} << 33) |
           (std::uint64_t{penalty & 7} << 30) | (since & kTimeMask);
  }
};

/// Rounded up.
std::uint32_t ticks(std::chrono::milliseconds time) {
  return static_cast<std::uint32_t>(
      std::min<std::int64_t>((time.count() - 1) / kTick + 1, kLongest));
}

/// 0 where another worker, which looked at the clock a little later, wrote `since`.
std::uint32_t ageOf(const Place& place, std::uint32_t now) {
  const std::uint32_t age = (now - place.since) & kTimeMask;
  return age > kLongest ? 0 : age;
}

/// Until the penalty ends; 0 for a place without one.
std::uint32_t ticksLeft(std::uint64_t word, std::uint32_t now, const RatePolicy& policy) {
  const Place place = Place::unpack(word);
  const std::uint32_t age = ageOf(place, now);
  const std::uint32_t lasts = ticks(policy.penalty);
  return word != 0 && place.penalty > 0 && age < lasts ? lasts - age : 0;
}

std::uint32_t tickOf(std::chrono::milliseconds now) {
  return static_cast<std::uint32_t>(now.count() / kTick) & kTimeMask;
}

std::size_t setOf(std::uint64_t hash) { return hash % RateTable::kSets; }
std::uint32_t tagOf(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 46); }

/// How often a place is tried that others change all the time: nobody's loop is another's to hold.
constexpr int kTries = 1000;

using Halves = std::array<std::uint64_t, 2>;

/// What one more request at `now` makes of `place`.
Place advance(Place place, std::uint32_t now, const RatePolicy& policy) {
  const std::uint32_t age = ageOf(place, now);
  const std::uint32_t lasts = ticks(place.penalty > 0 ? policy.penalty : policy.per);
  if (place.count == 0 || age >= lasts) return {.tag = place.tag, .count = 1, .since = now};
  // A penalty is longer than a period, perhaps: the rate is that of all of it.
  const std::uint64_t periods = place.penalty > 0 ? age / ticks(policy.per) + 1 : 1;
  const bool beyond = place.count >= policy.requests * periods;
  if (beyond && place.penalty <= RateTable::kMostRestarts) {
    return {.tag = place.tag, .count = 1, .penalty = place.penalty + 1, .since = now};
  }
  place.count = std::min(place.count + 1, RateTable::kMostRefused);
  return place;
}

/// What is left of `place` when its last request is not to count.
Place withoutOne(Place place, std::uint32_t now, const RatePolicy& policy) {
  // The penalty began with that request: the client has used its rate up, and no more.
  if (place.penalty == 1 && place.count == 1) {
    return {.tag = place.tag, .count = policy.requests, .since = now};
  }
  // Without a count a place is as good as new, and a penalty would be over.
  const std::uint32_t least = place.penalty > 0 ? 1 : 0;
  if (place.count > least) --place.count;
  return place;
}

}  // namespace

std::string limitText(const IpAddress& client) {
  return client.isV4() ? client.text() : client.text() + std::string(kNetwork);
}

std::optional<IpAddress> parseLimitText(std::string_view text) {
  const bool network = text.ends_with(kNetwork);
  if (network) text.remove_suffix(kNetwork.size());
  const auto address = IpAddress::parse(text);
  if (!address || (network && address->isV4())) return std::nullopt;
  return address->limitKey();
}

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
  auto& set = sets_[setOf(hash)];
  const std::uint32_t tag = tagOf(hash);
  const std::uint32_t tick = tickOf(now);
  for (int tries = 0; tries < kTries; ++tries) {
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
      const bool free = before == 0 && chosen != nullptr;
      const bool older =
          chosen == nullptr || word == 0 || ageOf(place, tick) > ageOf(Place::unpack(before), tick);
      if (older && !free) {
        chosen = &way;
        before = word;
      }
    }
    Place place = Place::unpack(before);
    if (before == 0 || place.tag != tag) place = Place{.tag = tag};
    const Place after = advance(place, tick, policy);
    if (!chosen->compare_exchange_strong(before, after.pack(), std::memory_order_relaxed)) continue;
    if (after.penalty == 0) return std::nullopt;
    writeAddress(addresses_[setOf(hash)][static_cast<std::size_t>(chosen - set.data())], client);
    return ticksLeft(after.pack(), tick, policy) * std::chrono::milliseconds(kTick);
  }
  return std::nullopt;
}

void RateTable::giveBack(const IpAddress& client, std::uint64_t seed, std::chrono::milliseconds now,
                         const RatePolicy& policy) {
  const std::uint64_t hash = seededHash(client, seed);
  const std::uint32_t tick = tickOf(now);
  for (auto& way : sets_[setOf(hash)]) {
    std::uint64_t word = way.load(std::memory_order_relaxed);
    for (int tries = 0; tries < kTries && word != 0 && Place::unpack(word).tag == tagOf(hash);
         ++tries) {
      const Place after = withoutOne(Place::unpack(word), tick, policy);
      if (way.compare_exchange_weak(word, after.pack(), std::memory_order_relaxed)) return;
    }
  }
}

void RateTable::writeAddress(Address& place, const IpAddress& client) {
  const auto halves = std::bit_cast<Halves>(client.bytes());
  for (std::size_t i = 0; i < halves.size(); ++i) {
    // Only once per penalty: workers that refuse the same client share this line of memory.
    if (place[i].load(std::memory_order_relaxed) == halves[i]) continue;
    place[i].store(halves[i], std::memory_order_relaxed);
  }
}

IpAddress RateTable::readAddress(const Address& place) {
  Halves halves{};
  for (std::size_t i = 0; i < halves.size(); ++i) {
    halves[i] = place[i].load(std::memory_order_relaxed);
  }
  return IpAddress::fromBytes(std::bit_cast<std::array<std::uint8_t, 16>>(halves));
}

RateTable::Limited RateTable::limited(std::uint64_t seed, std::chrono::milliseconds now,
                                      const RatePolicy& policy, std::size_t most) const {
  const std::uint32_t tick = tickOf(now);
  Limited found;
  for (std::size_t set = 0; set < kSets; ++set) {
    for (std::size_t way = 0; way < kWays; ++way) {
      const std::uint64_t word = sets_[set][way].load(std::memory_order_relaxed);
      const std::uint32_t left = ticksLeft(word, tick, policy);
      if (left == 0) continue;
      ++found.total;
      if (found.clients.size() == most) continue;
      const IpAddress address = readAddress(addresses_[set][way]);
      const std::uint64_t hash = seededHash(address, seed);
      const Place place = Place::unpack(word);
      if (setOf(hash) != set || tagOf(hash) != place.tag) continue;
      found.clients.push_back({address, left * std::chrono::milliseconds(kTick), place.count});
    }
  }
  return found;
}

bool RateTable::clear(const IpAddress& client, std::uint64_t seed, std::chrono::milliseconds now,
                      const RatePolicy& policy) {
  const std::uint64_t hash = seededHash(client, seed);
  for (auto& way : sets_[setOf(hash)]) {
    std::uint64_t word = way.load(std::memory_order_relaxed);
    // A request of that moment may be counted in between: it is forgotten as well.
    for (int tries = 0; tries < kTries && Place::unpack(word).tag == tagOf(hash) &&
                        ticksLeft(word, tickOf(now), policy) > 0;
         ++tries) {
      if (way.compare_exchange_weak(word, 0, std::memory_order_relaxed)) return true;
    }
  }
  return false;
}

std::size_t RateTable::clearAll(std::chrono::milliseconds now, const RatePolicy& policy) {
  std::size_t cleared = 0;
  for (auto& set : sets_) {
    for (auto& way : set) {
      std::uint64_t word = way.load(std::memory_order_relaxed);
      for (int tries = 0; tries < kTries && ticksLeft(word, tickOf(now), policy) > 0; ++tries) {
        if (!way.compare_exchange_weak(word, 0, std::memory_order_relaxed)) continue;
        ++cleared;
        break;
      }
    }
  }
  return cleared;
}

}  // namespace egalaxyd
