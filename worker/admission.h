// Who may hold memory: a fixed number of slots, given out in order of arrival, and the list of
// their holders by how long they have stood still. Pure bookkeeping.
#pragma once

#include <cstddef>
#include <deque>

#include "common/event_loop.h"
#include "worker/connection.h"

namespace egalaxyd {

/// Keeps no connection alive: each must be forgotten before it goes.
class Admission {
 public:
  explicit Admission(std::size_t slots) : slots_(slots) {}

  void enqueue(Connection::Id id) { queue_.push_back(id); }
  /// The next in line when a slot is free, without giving it the slot.
  bool canAdmit() const { return !queue_.empty() && holders_ < slots_; }
  Connection::Id takeNext();

  /// `connection` holds a slot now, and has just moved.
  void hold(Connection& connection);
  /// It moved: others have stood still longer.
  void moved(Connection& connection);
  void release(Connection& connection);

  /// While someone waits and no slot is free: the holder that has stood still longest, if that is
  /// at least `patience`.
  Connection* yields(Clock::time_point now, Clock::duration patience) const;

  std::size_t holders() const { return holders_; }
  std::size_t waiting() const { return queue_.size(); }

 private:
  void unlink(Connection& connection);
  void append(Connection& connection);

  const std::size_t slots_;
  std::size_t holders_ = 0;
  std::deque<Connection::Id> queue_;
  Connection* stillest_ = nullptr;  ///< both ends of the holders' list
  Connection* liveliest_ = nullptr;
};

}  // namespace egalaxyd
