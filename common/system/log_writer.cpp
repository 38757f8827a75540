#include "common/system/log_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <new>
#include <utility>

namespace egalaxyd {
namespace {

/// Held back for a slow place at most; lines beyond are dropped and counted.
constexpr std::size_t kMostHeldBytes = 256 * 1024;
/// How long the thread gathers lines before it writes them in one call.
constexpr auto kGatherLines = std::chrono::milliseconds(50);
/// How soon the thread tries again to say that lines are missing.
constexpr auto kRetellMissing = std::chrono::seconds(1);

/// A file takes all lines in one call. A writable pipe takes PIPE_BUF bytes without waiting, and
/// unmixed with other processes' lines when the piece ends with one.
std::size_t pieceOf(const std::string& lines, bool isFile) {
  if (isFile || lines.size() <= PIPE_BUF) return lines.size();
  const std::size_t lastEnd = lines.rfind('\n', PIPE_BUF - 1);
  return lastEnd == std::string::npos ? PIPE_BUF : lastEnd + 1;
}

}  // namespace

LogWriter::LogWriter(std::vector<Place> places) : queues_(places.size()) {
  for (Place& place : places) hands_.push_back({.place = std::move(place), .lines = {}});
}

void LogWriter::write(std::size_t place, std::string_view line) {
  const MutexLock lock(mutex_);
  Queue& queue = queues_[place];
  if (threaded_) {
    if (queue.held.size() + line.size() > kMostHeldBytes) {
      ++dropped_;
      ++queue.untold;
      return;
    }
    const bool wasEmpty = heldBytes_ == 0;
    queue.held.append(line);
    heldBytes_ += line.size();
    if (wasEmpty) wake_.notifyOne();
    return;
  }
  Hand& hand = hands_[place];
  if (queue.next) hand.place.fd = std::move(queue.next);
  hand.lines = line;
  tellMissing(hand, queue);
  if (push(hand) != Outcome::kDone) queue.untold += giveUp(hand);
}

void LogWriter::change(std::size_t place, UniqueFd fd) {
  const MutexLock lock(mutex_);
  if (place < queues_.size()) queues_[place].next = std::move(fd);
}

void LogWriter::startThread() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  {
    const MutexLock lock(mutex_);  // no other thread is there yet
    // So that nobody waits for memory with the mutex held. Pages that nobody touches cost nothing.
    for (Queue& queue : queues_) queue.held.reserve(kMostHeldBytes);
    for (Hand& hand : hands_) hand.lines.reserve(kMostHeldBytes);
  }
  threaded_ = true;
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void LogWriter::stopThread() {
  if (!threaded_) return;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notifyOne();
  thread_.join();
  threaded_ = false;
}

void LogWriter::run() {
  std::vector<UniqueFd> old(hands_.size());
  std::vector<std::uint64_t> missing(hands_.size());
  std::vector<pollfd> stuck;
  stuck.reserve(hands_.size());
  bool isStuck = false;
  const auto isWanted = [this]() EGALAXYD_REQUIRES(mutex_) { return stopping_ || heldBytes_ > 0; };
  const auto isStopping = [this]() EGALAXYD_REQUIRES(mutex_) { return stopping_; };
  MutexLock lock(mutex_);
  for (bool last = false; !last || heldBytes_ > 0;) {
    if (isStuck) {
      lock.unlock();
      awaitRoom(stuck);
      lock.lock();
    } else {
      if (std::ranges::all_of(queues_, [](const Queue& queue) { return queue.untold == 0; })) {
        wake_.wait(mutex_, isWanted);
      } else {
        wake_.waitFor(mutex_, kRetellMissing, isWanted);
      }
      if (!stopping_) wake_.waitFor(mutex_, kGatherLines, isStopping);
    }
    last = stopping_;
    takeAll(old);
    lock.unlock();
    for (UniqueFd& fd : old) fd.reset();
    isStuck = false;
    for (std::size_t i = 0; i < hands_.size(); ++i) {
      const Outcome outcome = push(hands_[i]);
      const bool waits = outcome == Outcome::kStuck && !last;
      isStuck = isStuck || waits;
      missing[i] = outcome == Outcome::kDone || waits ? 0 : giveUp(hands_[i]);
    }
    lock.lock();
    for (std::size_t i = 0; i < hands_.size(); ++i) queues_[i].untold += missing[i];
  }
}

void LogWriter::takeAll(std::vector<UniqueFd>& old) {
  for (std::size_t i = 0; i < hands_.size(); ++i) {
    Queue& queue = queues_[i];
    Hand& hand = hands_[i];
    if (queue.next) old[i] = std::exchange(hand.place.fd, std::move(queue.next));
    if (!hand.lines.empty()) continue;
    if (queue.held.empty() && queue.untold == 0) continue;
    hand.lines.swap(queue.held);
    heldBytes_ -= hand.lines.size();
    tellMissing(hand, queue);
  }
}

void LogWriter::tellMissing(Hand& hand, Queue& queue) {
  hand.behindReport = hand.lines.size();
  hand.told = 0;
  if (queue.untold == 0) return;
  try {
    hand.lines.insert(0, hand.place.missing(queue.untold));
    hand.told = std::exchange(queue.untold, 0);
  } catch (const std::bad_alloc&) {
    // It is told with the next lines.
  }
}

LogWriter::Outcome LogWriter::push(Hand& hand) {
  while (!hand.lines.empty()) {
    pollfd ready{hand.place.fd.get(), POLLOUT, 0};
    if (::poll(&ready, 1, 0) == 0) return Outcome::kStuck;
    const ssize_t wrote =
        ::write(hand.place.fd.get(), hand.lines.data(), pieceOf(hand.lines, hand.place.isFile));
    if (wrote < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (wrote < 0) return Outcome::kFailed;  // disk full, reader gone
    hand.lines.erase(0, static_cast<std::size_t>(wrote));
  }
  return Outcome::kDone;
}

std::uint64_t LogWriter::giveUp(Hand& hand) {
  const bool told = hand.lines.size() <= hand.behindReport;
  const std::string_view lines =
      std::string_view(hand.lines).substr(told ? 0 : hand.lines.size() - hand.behindReport);
  const auto lost = static_cast<std::uint64_t>(std::ranges::count(lines, '\n'));
  dropped_ += lost;
  hand.lines.clear();
  return told ? lost : lost + hand.told;
}

void LogWriter::awaitRoom(std::vector<pollfd>& stuck) {
  stuck.clear();
  for (const Hand& hand : hands_) {
    if (!hand.lines.empty()) stuck.push_back({hand.place.fd.get(), POLLOUT, 0});
  }
  ::poll(stuck.data(), stuck.size(), static_cast<int>(kGatherLines.count()));
}

}  // namespace egalaxyd
