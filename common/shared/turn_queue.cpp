#include "common/shared/turn_queue.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace egalaxyd {
namespace {

using Clock = std::chrono::steady_clock;

/// Returns when `word` is not `value` any more, after `most`, and now and then without a reason.
void waitWhile(std::atomic<std::uint32_t>& word, std::uint32_t value,
               std::chrono::nanoseconds most) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(most);
  const timespec time{.tv_sec = seconds.count(), .tv_nsec = (most - seconds).count()};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &time, nullptr, 0);
}

}  // namespace

void TurnQueue::leave(std::size_t seat) {
  seats_[seat].store(0);
  wakeAll();
}

void TurnQueue::wakeAll() {
  changes_.fetch_add(1);
  ::syscall(SYS_futex, &changes_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

bool Turn::try_lock_for(std::chrono::milliseconds patience) {
  auto& mine = queue_.seats_[seat_];
  // The seat is filled before the ticket is taken, so that nobody with a later ticket finds it
  // empty.
  const std::uint64_t least = queue_.tickets_.load() + 1;
  mine.store(least);
  const std::uint64_t ticket = queue_.tickets_.fetch_add(1) + 1;
  mine.store(ticket);
  // Another process took that ticket, and may have seen the same number here and wait for it.
  if (ticket != least) queue_.wakeAll();
  const Clock::time_point until = Clock::now() + patience;
  const auto first = inFront(ticket);
  for (;;) {
    const std::uint32_t changes = queue_.changes_.load();
    const auto head = inFront(ticket);
    if (!head) return true;
    const Clock::time_point now = Clock::now();
    if (now >= until) {
      if (head == first) hangs_[head->seat] = head->ticket;
      unlock();
      return false;
    }
    waitWhile(queue_.changes_, changes, until - now);
  }
}

/// Whom this process waits for; nullopt: it is its turn.
std::optional<TurnQueue::Head> Turn::inFront(std::uint64_t ticket) const {
  std::optional<TurnQueue::Head> head;
  for (std::size_t seat = 0; seat < TurnQueue::kSeats; ++seat) {
    const std::uint64_t other = queue_.seats_[seat].load();
    if (seat == seat_ || other == 0 || other == hangs_[seat] || other > ticket) continue;
    if (other == ticket && seat > seat_) continue;
    if (!head || other < head->ticket) head = TurnQueue::Head{seat, other};
  }
  return head;
}

}  // namespace egalaxyd
