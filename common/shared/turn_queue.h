// Who writes next: processes take turns, first come, first served.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace egalaxyd {

/// Lies in memory that processes share; all zero is an empty queue. Each process has a seat and
/// takes a ticket; it has its turn while no seat holds a smaller one. Nothing here is believed: a
/// number that a process wrote by mistake, or left when it died, costs the others their patience
/// once. So it keeps order and protects nothing: what must not happen twice at once needs a lock.
class TurnQueue {
 public:
  static constexpr std::size_t kSeats = 256;

  /// Gives up the seat's turn or its place in the queue. Any process: the master for a dead worker.
  void leave(std::size_t seat);

 private:
  friend class Turn;
  struct Head {
    std::size_t seat = 0;
    std::uint64_t ticket = 0;
    bool operator==(const Head&) const = default;
  };

  void wakeAll();

  std::atomic<std::uint64_t> tickets_;  ///< given so far
  std::atomic<std::uint32_t> changes_;  ///< a futex: grows when somebody may have its turn
  std::array<std::atomic<std::uint64_t>, kSeats> seats_;  ///< tickets; 0: not in the queue
};

/// A process's seat. One thread. For std::unique_lock.
class Turn {
 public:
  Turn(TurnQueue& queue, std::size_t seat) : queue_(queue), seat_(seat) {}

  /// False when the turn has not come within `patience`. Who was in front for all of that hangs,
  /// and is not waited for again until it takes another ticket.
  [[nodiscard]] bool try_lock_for(std::chrono::milliseconds patience);
  void unlock() { queue_.leave(seat_); }

 private:
  std::optional<TurnQueue::Head> inFront(std::uint64_t ticket) const;

  TurnQueue& queue_;
  const std::size_t seat_;
  std::array<std::uint64_t, TurnQueue::kSeats> hangs_{};  ///< tickets that were waited for in vain
};

}  // namespace egalaxyd
