// Who may hold memory: places for exchanges, given out in order of arrival, and the lists of their
// holders by how long they have stood still. Pure bookkeeping.
#pragma once

#include <cstddef>
#include <deque>

#include "common/event_loop.h"
#include "worker/connection.h"

namespace egalaxyd {

/// How many exchanges there may be. In its handshake one costs some 50 KiB, later some 15.
struct AdmissionLimits {
  std::size_t handshakes;  ///< of this worker
  std::size_t own;         ///< of this worker, whatever the others have
  std::size_t all;         ///< of all workers together, beyond `own`
};

/// Keeps no connection alive: each must be forgotten before it goes.
class Admission {
 public:
  explicit Admission(AdmissionLimits limits) : limits_(limits) {}

  void enqueue(Connection::Id id) { queue_.push_back(id); }
  /// Whether the next in line may have its place. `elsewhere`: exchanges of other workers.
  bool canAdmit(std::size_t elsewhere) const;
  /// The next in line, without giving it the place.
  Connection::Id takeNext();

  /// `connection` begins its handshake and has just moved.
  void hold(Connection& connection);
  /// It has finished its handshake, and has not moved since it began that.
  void establish(Connection& connection, Clock::time_point now);
  /// It moved: others have stood still longer.
  void moved(Connection& connection);
  void release(Connection& connection);

  /// While more wait than places are free: the holder that has stood still longest, and too long.
  /// In a handshake that is several times as long as those take that come to their end. `promised`:
  /// so many free places are for others that wait.
  Connection* yields(Clock::time_point now, std::size_t elsewhere, std::size_t promised) const;

  std::size_t holders() const { return handshakes_.size + established_.size; }
  std::size_t waiting() const { return queue_.size(); }

 private:
  struct Holders {
    Connection* stillest = nullptr;
    Connection* liveliest = nullptr;
    std::size_t size = 0;

    void append(Connection& connection);
    void remove(Connection& connection);
  };

  Holders& listOf(Connection& connection);
  bool full(std::size_t elsewhere, std::size_t promised) const;
  Clock::duration handshakePatience() const;

  const AdmissionLimits limits_;
  std::deque<Connection::Id> queue_;
  Holders handshakes_;
  Holders established_;
  Clock::duration usualHandshake_{0};  ///< a moving average
};

}  // namespace egalaxyd
