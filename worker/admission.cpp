#include "worker/admission.h"

#include <algorithm>

namespace egalaxyd {
namespace {

/// An established holder that stood still this long yields.
constexpr auto kPatience = std::chrono::seconds(2);
/// The same in a handshake: a bad line has to be waited for.
constexpr auto kLeastHandshakePatience = std::chrono::seconds(1);
/// When the clients are many on a slow machine, all their handshakes take long.
constexpr int kUsualHandshakes = 4;
constexpr int kAverageOver = 8;

}  // namespace

bool Admission::canAdmit(std::size_t elsewhere) const {
  return !queue_.empty() && handshakes_.size < limits_.handshakes && !full(elsewhere, 0);
}

Connection::Id Admission::takeNext() {
  const Connection::Id id = queue_.front();
  queue_.pop_front();
  return id;
}

void Admission::hold(Connection& connection) {
  connection.inHandshake = true;
  handshakes_.append(connection);
}

void Admission::establish(Connection& connection, Clock::time_point now) {
  const auto took = now - connection.lastMoved();
  // One that took no time was none: there is no TLS.
  if (took > Clock::duration::zero()) usualHandshake_ += (took - usualHandshake_) / kAverageOver;
  handshakes_.remove(connection);
  connection.inHandshake = false;
  established_.append(connection);
}

void Admission::moved(Connection& connection) {
  Holders& list = listOf(connection);
  if (&connection == list.liveliest) return;
  list.remove(connection);
  list.append(connection);
}

void Admission::release(Connection& connection) { listOf(connection).remove(connection); }

Connection* Admission::yields(Clock::time_point now, std::size_t elsewhere,
                              std::size_t promised) const {
  if (queue_.size() <= promised) return nullptr;
  const auto tooStill = [&](Connection* holder, Clock::duration patience) {
    return holder != nullptr && now - holder->lastMoved() >= patience;
  };
  const bool noPlace = full(elsewhere, promised);
  if (noPlace && tooStill(established_.stillest, kPatience)) return established_.stillest;
  const bool noHandshake = noPlace || handshakes_.size + promised >= limits_.handshakes;
  if (noHandshake && tooStill(handshakes_.stillest, handshakePatience())) {
    return handshakes_.stillest;
  }
  return nullptr;
}

Admission::Holders& Admission::listOf(Connection& connection) {
  return connection.inHandshake ? handshakes_ : established_;
}

bool Admission::full(std::size_t elsewhere, std::size_t promised) const {
  const std::size_t own = holders() + promised;
  return own >= limits_.own && own + elsewhere >= limits_.all;
}

Clock::duration Admission::handshakePatience() const {
  return std::max<Clock::duration>(kLeastHandshakePatience, kUsualHandshakes * usualHandshake_);
}

void Admission::Holders::remove(Connection& connection) {
  (connection.previous != nullptr ? connection.previous->next : stillest) = connection.next;
  (connection.next != nullptr ? connection.next->previous : liveliest) = connection.previous;
  connection.previous = connection.next = nullptr;
  --size;
}

void Admission::Holders::append(Connection& connection) {
  connection.previous = liveliest;
  (liveliest != nullptr ? liveliest->next : stillest) = &connection;
  liveliest = &connection;
  ++size;
}

}  // namespace egalaxyd
