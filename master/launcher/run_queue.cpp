#include "master/launcher/run_queue.h"

#include <algorithm>

namespace egalaxyd {

RunQueue::Verdict RunQueue::add(std::uint64_t run, std::uint32_t mount, std::uint32_t mostOfMount,
                                Time now) {
  if (hasPlace(mount, mostOfMount)) {
    take(mount);
    return Verdict::kStart;
  }
  if (waiting_.size() >= limits_.queue) return Verdict::kFull;
  waiting_.push_back({run, mount, mostOfMount, now + limits_.patience});
  return Verdict::kWait;
}

void RunQueue::giveBack(std::uint32_t mount) {
  --running_;
  const auto found = ofMount_.find(mount);
  if (--found->second == 0) ofMount_.erase(found);
}

void RunQueue::forget(std::uint64_t run) {
  std::erase_if(waiting_, [&](const Waiting& one) { return one.run == run; });
}

std::optional<std::uint64_t> RunQueue::next() {
  const auto found = std::ranges::find_if(
      waiting_, [&](const Waiting& one) { return hasPlace(one.mount, one.mostOfMount); });
  if (found == waiting_.end()) return std::nullopt;
  const std::uint64_t run = found->run;
  take(found->mount);
  waiting_.erase(found);
  return run;
}

std::vector<std::uint64_t> RunQueue::late(Time now) {
  std::vector<std::uint64_t> runs;
  while (!waiting_.empty() && waiting_.front().until <= now) {
    runs.push_back(waiting_.front().run);
    waiting_.pop_front();
  }
  return runs;
}

std::optional<RunQueue::Time> RunQueue::nextLate() const {
  if (waiting_.empty()) return std::nullopt;
  return waiting_.front().until;
}

bool RunQueue::hasPlace(std::uint32_t mount, std::uint32_t most) const {
  const auto found = ofMount_.find(mount);
  return running_ < limits_.processes && (found == ofMount_.end() ? 0 : found->second) < most;
}

void RunQueue::take(std::uint32_t mount) {
  ++running_;
  ++ofMount_[mount];
}

}  // namespace egalaxyd
