#include "worker/upload/file_turns.h"

namespace egalaxyd {
namespace {

Error leaving() { return {ErrorCode::kBusy, "the worker leaves"}; }

}  // namespace

Async<Result<FileTurns::Turn>> FileTurns::take(std::string file) {
  return async<Result<Turn>>([this, file = std::move(file)](Done done) mutable {
    if (closed_) return done(leaving());
    const auto [queue, isFree] = waiting_.try_emplace(file);
    if (isFree) return done(Turn(*this, std::move(file)));
    queue->second.push_back(std::move(done));
  });
}

void FileTurns::end(const std::string& file) {
  const auto queue = waiting_.find(file);
  if (queue == waiting_.end()) return;
  if (queue->second.empty()) {
    waiting_.erase(queue);
    return;
  }
  Done next = std::move(queue->second.front());
  queue->second.pop_front();
  next(Turn(*this, file));
}

void FileTurns::close() {
  closed_ = true;
  for (auto& [file, queue] : std::exchange(waiting_, {})) {
    for (Done& done : queue) done(leaving());
  }
}

}  // namespace egalaxyd
