#include "worker/connection.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "worker/unreceived.h"

namespace egalaxyd {
namespace {

/// How much and how long a client may go on sending after its answer, so that it can read it: an
/// early close would reach it as a reset.
constexpr std::uint32_t kDrainBytes = 1024 * 1024;
/// Longer only while the client goes on receiving.
constexpr auto kDrainTime = std::chrono::seconds(2);

}  // namespace

Connection::Connection(ConnectionKeeper& keeper, EventLoop& loop, Id id, UniqueFd socket,
                       const IpAddress& client)
    : keeper_(keeper),
      loop_(loop),
      id_(id),
      client_(client),
      accepted_(loop.now()),
      lastMoved_(accepted_),
      socket_(std::move(socket)),
      watch_(loop, [this](IoEvents events) { onReady(events); }),
      deadline_(loop, [this] { onDeadline(); }) {}

Connection::~Connection() = default;

bool Connection::start() {
  deadline_.setAfter(keeper_.exchangeContext().limits.handshakeTimeout);
  return watch_.start(socket_.get(), WatchMode::kEdge).ok();
}

void Connection::activate() {
  phase_ = Phase::kActive;
  lastMoved_ = loop_.now();
  exchange_ = std::make_unique<Exchange>(keeper_.exchangeContext(), *this, client_, accepted_,
                                         keeper_.makeTransport(std::move(socket_)));
  exchange_->start();
}

void Connection::respond(std::optional<Response> response) {
  if (phase_ == Phase::kActive) exchange_->respond(std::move(response));
}

void Connection::abort(std::string_view why) {
  if (phase_ == Phase::kActive) return exchange_->abort(why);
  if (phase_ != Phase::kClosed) close();
}

void Connection::onReady(IoEvents events) {
  switch (phase_) {
    case Phase::kWaiting:
      if (!events.readable) return;  // the first report says that it is writable
      phase_ = Phase::kQueued;
      deadline_.cancel();  // from here on it waits for us
      return keeper_.wantsSlot(*this);
    case Phase::kActive:
      return exchange_->onReady();
    case Phase::kDraining:
      return drain();
    case Phase::kQueued:
    case Phase::kClosed:
      return;
  }
}

void Connection::onDeadline() {
  if (phase_ == Phase::kActive) return exchange_->onDeadline();
  if (phase_ == Phase::kDraining) return onDrainDeadline();
  if (phase_ == Phase::kWaiting) {
    keeper_.exchangeContext().counters.add(Counter::kTimeouts);
  }
  close();
}

void Connection::drain() {
  std::array<char, 4096> waste;
  for (int turn = 0; turn < 16; ++turn) {
    const ssize_t got = ::recv(socket_.get(), waste.data(), waste.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return close();
    drained_ += static_cast<std::uint32_t>(got);
    if (drained_ > kDrainBytes) return close();
  }
  continueLater();
}

void Connection::onDrainDeadline() {
  const int unreceived = unreceivedBytes(socket_.get());
  if (unreceived < unreceived_) lastMoved_ = loop_.now();
  unreceived_ = unreceived;
  const auto stillFor = loop_.now() - lastMoved_;
  if (unreceived == 0 || stillFor >= keeper_.exchangeContext().limits.writeTimeout) return close();
  deadline_.setAfter(kDrainTime);
}

void Connection::close() {
  phase_ = Phase::kClosed;
  deadline_.cancel();
  watch_.forget();
  keeper_.closed(*this);
}

void Connection::progressed() {
  lastMoved_ = loop_.now();
  keeper_.moved(*this);
}

void Connection::continueLater() {
  loop_.defer([this] { onReady({.readable = true, .writable = true}); });
}

void Connection::ended(UniqueFd socket) {
  keeper_.gaveSlotBack(*this);
  loop_.defer([this] { exchange_.reset(); });  // it is on the stack
  socket_ = std::move(socket);
  if (!socket_) return close();
  phase_ = Phase::kDraining;
  lastMoved_ = loop_.now();
  unreceived_ = unreceivedBytes(socket_.get());
  deadline_.setAfter(kDrainTime);
  ::shutdown(socket_.get(), SHUT_WR);
  continueLater();
}

}  // namespace egalaxyd
