#include "worker/connection/connection.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "worker/protocol/client_hello.h"
#include "worker/protocol/proxy_header.h"
#include "worker/transport/unreceived.h"

namespace egalaxyd {
namespace {

/// The longest wait for a slot, as a multiple of limits.request_timeout.
constexpr int kLongestQueue = 6;

}  // namespace

Connection::Connection(ConnectionKeeper& keeper, EventLoop& loop, Id id, UniqueFd socket,
                       ListenerKind listener, const IpAddress& client, std::uint16_t clientPort,
                       bool viaProxy)
    : keeper_(keeper),
      loop_(loop),
      id_(id),
      client_(client),
      clientPort_(clientPort),
      holdsAddress_(!viaProxy),
      accepted_(loop.now()),
      phase_(viaProxy ? Phase::kProxyHeader : Phase::kWaiting),
      listener_(listener),
      socket_(std::move(socket)),
      watch_(loop, [this](IoEvents events) { contain([&] { onReady(events); }); }),
      deadline_(loop, [this] { contain([this] { onDeadline(); }); }) {}

Connection::~Connection() = default;

template <class Step>
void Connection::contain(Step&& step) noexcept {
  try {
    step();
  } catch (const std::exception& e) {
    fail(e.what());
  } catch (...) {
    fail("not a std::exception");
  }
}

void Connection::fail(std::string_view what) noexcept {
  keeper_.failed(*this, what);
  try {
    end("failed");
  } catch (...) {
    // The keeper has marked it and aborts it again.
  }
}

bool Connection::start() noexcept {
  bool watched = false;
  contain([&] {
    const LimitsConfig& limits = keeper_.exchangeContext().limits;
    const bool shakesHands = listener_ != ListenerKind::kSpartan;
    deadline_.setAfter(shakesHands ? limits.handshakeTimeout : limits.requestTimeout);
    watched = watch_.start(socket_.get(), WatchMode::kEdge).ok();
  });
  return watched;
}

void Connection::admitted() {
  contain([this] {
    phase_ = Phase::kActive;
    deadline_.cancel();
    exchange_ = std::make_unique<Exchange>(keeper_.exchangeContext(), *this, listener_, client_,
                                           wait_, accepted_, std::move(slot_),
                                           keeper_.makeTransport(listener_, std::move(socket_)));
    exchange_->start();
  });
}

void Connection::respond(std::optional<Response> response) {
  contain([&] {
    if (phase_ == Phase::kActive) exchange_->respond(std::move(response));
  });
}

void Connection::yield() {
  contain([this] {
    if (phase_ == Phase::kActive) exchange_->yield();
  });
}

void Connection::abort(std::string_view why) {
  contain([&] { end(why); });
}

void Connection::end(std::string_view why) {
  if (phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kActive && exchange_) return exchange_->abort(why);
  close();
}

void Connection::onReady(IoEvents events) {
  peerEnded_ = peerEnded_ || events.ended;
  switch (phase_) {
    case Phase::kProxyHeader:
      if (events.readable) takeProxyHeader();
      return;
    case Phase::kWaiting:
      if (events.readable) gather(events.ended);
      return;
    case Phase::kActive:
      return exchange_->onReady();
    case Phase::kDraining:
      if (events.readable) goOn(drain_->receive());
      return;
    case Phase::kQueued:
      // A Spartan client may close its side after the request; a handshake cannot go on after EOF.
      if (events.broken || (events.ended && listener_ != ListenerKind::kSpartan)) close();
      return;
    case Phase::kClosed:
      return;
  }
}

void Connection::onDeadline() {
  if (phase_ == Phase::kActive) return exchange_->onDeadline();
  if (phase_ == Phase::kDraining) {
    deadline_.setAfter(Drain::kInterval);
    return goOn(drain_->look(loop_.now()));
  }
  if (phase_ == Phase::kQueued) return onQueueDeadline();
  keeper_.exchangeContext().counters.add(Counter::kTimeouts);
  close();
}

/// A connection stays queued while others of its address are served, up to kLongestQueue intervals.
void Connection::onQueueDeadline() {
  const Clock::duration interval = keeper_.exchangeContext().limits.requestTimeout;
  const bool waitsOn = loop_.now() - slot_.lastServed() < interval &&
                       loop_.now() - accepted_ < kLongestQueue * interval;
  if (waitsOn) return deadline_.setAfter(interval);
  keeper_.exchangeContext().counters.add(Counter::kTimeouts);
  close();
}

/// A slot, and the memory for TLS, is only for connections whose ClientHello is complete. So this
/// peeks (MSG_PEEK) and leaves it in the kernel. `ended`: EOF, no more will come.
void Connection::gather(bool ended) {
  if (listener_ == ListenerKind::kSpartan) {
    char first = 0;  // who leaves without a word, as a monitor does, has asked for nothing
    const bool asks = !ended || ::recv(socket_.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    return asks ? queueUp() : close();
  }
  std::array<char, kMaxClientHello> front;
  const ssize_t got = ::recv(socket_.get(), front.data(), front.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return close();
  const auto there = static_cast<std::size_t>(got);
  const std::size_t wanted = clientHelloBytes({front.data(), there});
  if (ended) return close();  // a handshake needs more than a hello
  if (wanted >= kMaxClientHello) return close();
  // SO_RCVLOWAT: the kernel wakes us only when the whole ClientHello has arrived.
  if (wanted > there || lowWater_) {
    const int lowWater = wanted > there ? static_cast<int>(wanted) : 1;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVLOWAT, &lowWater, sizeof lowWater);
    lowWater_ = true;
  }
  if (wanted <= there) queueUp();
}

void Connection::queueUp() {
  const RateVerdict verdict = keeper_.count(client_);
  if (verdict.close) return close();
  wait_ = verdict.wait;
  phase_ = Phase::kQueued;
  deadline_.setAfter(keeper_.exchangeContext().limits.requestTimeout);
  slot_ = keeper_.queueUp(*this);
}

/// Peeks at the header (MSG_PEEK), so that exactly its bytes can be taken from the socket.
void Connection::takeProxyHeader() {
  // One byte more than the longest header, to see whether data follows it: the watch is
  // edge-triggered (EPOLLET) and does not report that data again.
  std::array<char, kMaxProxyHeader + 1> front;
  const ssize_t got = ::recv(socket_.get(), front.data(), front.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return close();
  const auto step = parseProxyHeader({front.data(), static_cast<std::size_t>(got)});
  if (std::holds_alternative<NeedMore>(step)) return peerEnded_ ? close() : void();
  const auto* header = std::get_if<ProxyHeader>(&step);
  if (header == nullptr) {
    keeper_.complain(client_.text(AddressMask::kFull) +
                     " is in proxy_protocol_from, but sent no valid PROXY header");
    return close();
  }
  if (header->client) {
    client_ = *header->client;
    clientPort_ = header->clientPort;
    if (keeper_.isDenied(client_)) return close();
    holdsAddress_ = keeper_.takeAddress(client_);
    if (!holdsAddress_) return close();
  }
  const ssize_t taken = ::recv(socket_.get(), front.data(), header->length, MSG_DONTWAIT);
  if (taken != static_cast<ssize_t>(header->length)) return close();
  phase_ = Phase::kWaiting;
  if (got > taken || peerEnded_) gather(peerEnded_);
}

void Connection::goOn(Drain::Next step) {
  if (step == Drain::Next::kContinue) continueLater();
  if (step == Drain::Next::kClose) close();
}

void Connection::close() {
  phase_ = Phase::kClosed;
  slot_ = {};
  deadline_.cancel();
  watch_.forget();
  keeper_.closed(*this);
}

Admission::Standing Connection::standing(Clock::time_point now) {
  const Pace& pace = exchange_->pace(now);
  return {pace.awaited(), pace.behind(now), pace.waited(now)};
}

void Connection::continueLater() {
  loop_.defer([this] { contain([this] { onReady({.readable = true, .writable = true}); }); });
}

void Connection::ended(UniqueFd socket, BodyLeft bodyLeft) {
  loop_.defer([this] { exchange_.reset(); });  // it is still on the call stack
  socket_ = std::move(socket);
  if (!socket_) return close();
  phase_ = Phase::kDraining;
  drain_ = std::make_unique<Drain>(socket_.get(), keeper_.exchangeContext().limits, bodyLeft,
                                   listener_ == ListenerKind::kSpartan, loop_.now());
  deadline_.setAfter(Drain::kInterval);
  // Otherwise the loop reports what comes.
  if (bodyLeft != 0 || peerEnded_) continueLater();
}

}  // namespace egalaxyd
