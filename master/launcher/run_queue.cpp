#include "master/launcher/run_queue.h"

#include <algorithm>
#include <tuple>

namespace egalaxyd {

RunQueue::Verdict RunQueue::add(std::uint64_t run, const Asker& asker, std::uint32_t mount,
                                std::uint32_t mostOfMount, Time now) {
  if (hasPlace(mount, mostOfMount)) {
    take(mount);
    return Verdict::kStart;
  }
  if (waiting_.size() >= limits_.queue) return Verdict::kFull;
  Waiting last{run, asker, mount, mostOfMount, now + limits_.patience};
  for (const Waiting& one : waiting_) {
    if (one.asker.worker == asker.worker) last.workersTurn = one.workersTurn;
    if (one.asker == asker) last.clientsTurn = one.clientsTurn;
  }
  waiting_.push_back(last);
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
  const auto rank = [this](const Waiting& one) {
    return std::tuple(!hasPlace(one.mount, one.mostOfMount), one.workersTurn, one.clientsTurn);
  };
  const auto found = std::ranges::min_element(waiting_, {}, rank);
  if (found == waiting_.end() || !hasPlace(found->mount, found->mostOfMount)) return std::nullopt;
  const std::uint64_t run = found->run;
  take(found->mount);
  haveTurn(found->asker);
  waiting_.erase(found);
  return run;
}

void RunQueue::haveTurn(const Asker& asker) {
  ++turn_;
  for (Waiting& one : waiting_) {
    if (one.asker.worker == asker.worker) one.workersTurn = turn_;
    if (one.asker == asker) one.clientsTurn = turn_;
  }
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
