// One client from accept to close: a light shell that waits, holds an Exchange while it has a
// slot, and drains what the client still sends after the answer.
#pragma once

#include <cstdint>
#include <memory>

#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "common/wire/ip_address.h"
#include "worker/connection/drain.h"
#include "worker/exchange/admission.h"
#include "worker/exchange/exchange.h"

namespace egalaxyd {

class Connection;

/// What the rate limit says of a connection.
struct RateVerdict {
  RateWait wait;       ///< that the client is to be told
  bool close = false;  ///< instead: it was told often enough
};

/// Who keeps the connections: decides who gets a slot, and destroys those that have ended.
class ConnectionKeeper {
 public:
  virtual const ExchangeContext& exchangeContext() const = 0;
  virtual std::unique_ptr<Transport> makeTransport(ListenerKind listener, UniqueFd socket) = 0;
  /// Counts a client that a proxy has named; false when it holds too many connections already.
  virtual bool takeAddress(const IpAddress& client) = 0;
  /// Counts a connection of `client` whose first message has come, before anybody looks into that.
  virtual RateVerdict count(const IpAddress& client) = 0;
  /// The first message has come: its place in the queue for slots.
  virtual Admission::Slot queueUp(Connection& connection) = 0;
  /// A part of a handshake of `client` has cost so much CPU time.
  virtual void charge(const IpAddress& client, Clock::duration cpu) = 0;
  /// Nothing is left to do; the keeper destroys it after the current callback. Throws nothing.
  virtual void closed(Connection& connection) = 0;
  /// For the log, now and then: what every connection of a client may bring about.
  virtual void complain(std::string text) = 0;
  /// It threw `what`, and could not end itself for the same reason: to be aborted later.
  virtual void failed(Connection& connection, std::string_view what) = 0;
  /// Calls `job` with the connection if it still exists then.
  virtual Responder makeResponder(Connection& connection) = 0;

 protected:
  ~ConnectionKeeper() = default;
};

/// Whatever it throws, out of memory for example, ends this connection alone.
/// Loop thread only; neither copied nor moved. About 250 bytes while it waits.
class Connection final : public ExchangeOwner, public Admission::Holder {
 public:
  /// Where in the keeper's table it stands; no other connection ever has the same id.
  struct Id {
    std::uint32_t index = 0;
    std::uint32_t serial = 0;
  };

  /// `viaProxy`: `client` is a trusted proxy, whose header names the real one.
  Connection(ConnectionKeeper& keeper, EventLoop& loop, Id id, UniqueFd socket,
             ListenerKind listener, const IpAddress& client, bool viaProxy);
  ~Connection();

  /// Watches for the first message; false when the kernel cannot.
  bool start() noexcept;
  /// Has its slot: becomes an exchange and does what can be done now.
  void admitted() override;
  /// The exchange's answer has come from its site.
  void respond(std::optional<Response> response);
  void yield() override;
  /// Closes at once; `why` is for the log.
  void abort(std::string_view why);

  Id id() const { return id_; }
  const IpAddress& client() const { return client_; }
  /// Whether the client's address was counted and has to be released.
  bool holdsAddress() const { return holdsAddress_; }

 private:
  enum class Phase { kProxyHeader, kWaiting, kQueued, kActive, kDraining, kClosed };

  /// Runs a step of it; the only way in for whoever calls.
  template <class Step>
  void contain(Step&& step) noexcept;
  void fail(std::string_view what) noexcept;
  void end(std::string_view why);
  void onReady(IoEvents events);
  void onDeadline();
  void onQueueDeadline();
  void takeProxyHeader();
  void gather(bool ended);
  void queueUp();
  void goOn(Drain::Next step);
  void close();
  Admission::Standing standing(Clock::time_point now) override;

  void setDeadline(Clock::duration delay) override { deadline_.setAfter(delay); }
  void charge(Clock::duration cpu) override { keeper_.charge(client_, cpu); }
  Responder makeResponder() override { return keeper_.makeResponder(*this); }
  void awaitRoom() override { watch_.wantRoom(); }
  void continueLater() override;
  void ended(UniqueFd socket, BodyLeft bodyLeft) override;

  ConnectionKeeper& keeper_;
  EventLoop& loop_;
  const Id id_;
  IpAddress client_;
  bool holdsAddress_;
  const Clock::time_point accepted_;
  Phase phase_;
  const ListenerKind listener_;
  bool peerEnded_ = false;  ///< as the loop has told; it tells so once
  bool lowWater_ = false;   ///< the kernel was told to wake us for no less than is missing
  RateWait wait_;           ///< once the first message has come
  UniqueFd socket_;         ///< empty while the exchange has it
  Watch watch_;
  Timer deadline_;
  Admission::Slot slot_;  ///< while it waits for one; then the exchange has it
  std::unique_ptr<Exchange> exchange_;
  std::unique_ptr<Drain> drain_;
};

}  // namespace egalaxyd
