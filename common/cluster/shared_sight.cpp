#include "common/cluster/shared_sight.h"

#include <algorithm>
#include <cstddef>

namespace egalaxyd {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
/// A commit that took longer waited for another primary.
constexpr auto kLongCommit = std::chrono::seconds(1);

}  // namespace

std::uint32_t SharedSight::timeline() const { return board_.timeline.load(kRelaxed); }

void SharedSight::sawTimeline(std::uint32_t timeline) {
  std::uint32_t known = board_.timeline.load(kRelaxed);
  while (known < timeline && !board_.timeline.compare_exchange_weak(known, timeline, kRelaxed)) {
  }
}

std::uint32_t SharedSight::resets() const { return board_.resets.load(kRelaxed); }
void SharedSight::reset() { board_.resets.fetch_add(1, kRelaxed); }
bool SharedSight::regressed() const { return board_.regressed.load(kRelaxed) != 0; }
void SharedSight::regress() { board_.regressed.store(1, kRelaxed); }

void SharedSight::happened(DatabaseEvent event) {
  board_.events[static_cast<std::size_t>(event)].fetch_add(1, kRelaxed);
}

void SharedSight::committed(std::chrono::nanoseconds time) {
  board_.commits.add(time);
  if (time > kLongCommit) wasAway(time);
}

void SharedSight::wasAway(std::chrono::nanoseconds time) {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto now =
      duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  board_.noteGap(now - duration_cast<milliseconds>(time).count(), now);
}

void SharedSight::tell(const DatabaseFacts& facts) {
  board_.server.set(facts.server);
  board_.standby.set(facts.standby.value_or(""));
  board_.waitsForStandby.store(facts.waitsForStandby ? 1 : 0, kRelaxed);
  board_.contentBytes.store(facts.contentBytes, kRelaxed);
}

}  // namespace egalaxyd
