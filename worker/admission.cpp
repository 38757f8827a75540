#include "worker/admission.h"

namespace egalaxyd {

Connection::Id Admission::takeNext() {
  const Connection::Id id = queue_.front();
  queue_.pop_front();
  return id;
}

void Admission::hold(Connection& connection) {
  ++holders_;
  append(connection);
}

void Admission::moved(Connection& connection) {
  if (&connection == liveliest_) return;
  unlink(connection);
  append(connection);
}

void Admission::release(Connection& connection) {
  --holders_;
  unlink(connection);
}

Connection* Admission::yields(Clock::time_point now, Clock::duration patience) const {
  if (queue_.empty() || holders_ < slots_ || stillest_ == nullptr) return nullptr;
  return now - stillest_->lastMoved() >= patience ? stillest_ : nullptr;
}

void Admission::unlink(Connection& connection) {
  (connection.previous != nullptr ? connection.previous->next : stillest_) = connection.next;
  (connection.next != nullptr ? connection.next->previous : liveliest_) = connection.previous;
  connection.previous = connection.next = nullptr;
}

void Admission::append(Connection& connection) {
  connection.previous = liveliest_;
  (liveliest_ != nullptr ? liveliest_->next : stillest_) = &connection;
  liveliest_ = &connection;
}

}  // namespace egalaxyd
