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

/// The rate limit's verdict on a connection.
struct RateVerdict {
  RateWait wait;       ///< what the client is to be told
  bool close = false;  ///< instead: it has had enough answers, so close without one
};

/// The owner of the connections: hands out slots, and destroys connections that have ended.
class ConnectionKeeper {
 public:
  virtual const ExchangeContext& exchangeContext() const = 0;
  virtual std::unique_ptr<Transport> makeTransport(ListenerKind listener, UniqueFd socket) = 0;
  /// Whether the client is of a network that is not served (listen.deny); counted.
  virtual bool isDenied(const IpAddress& client) = 0;
  /// Counts a client that a proxy has named; false if it has too many connections already.
  virtual bool takeAddress(const IpAddress& client) = 0;
  /// Counts a connection of `client` for the rate limit, before its first message is parsed.
  virtual RateVerdict count(const IpAddress& client) = 0;
  /// Called when the first message has arrived; returns a place in the queue for slots.
  virtual Admission::Slot queueUp(Connection& connection) = 0;
  /// Charges `client` with the CPU time of one step of its handshake.
  virtual void charge(const IpAddress& client, Clock::duration cpu) = 0;
  /// The connection has ended; the keeper destroys it after the current callback. Never throws.
  virtual void closed(Connection& connection) = 0;
  /// Logs `text` now and then only, since any connection of a client may cause it.
  virtual void complain(std::string text) = 0;
  /// The connection threw `what`. Marks it to be aborted later, in case it cannot end itself now
  /// for the same reason.
  virtual void failed(Connection& connection, std::string_view what) = 0;
  /// Passes the response to the connection if it still exists then.
  virtual Responder makeResponder(Connection& connection) = 0;

 protected:
  ~ConnectionKeeper() = default;
};

/// An exception, such as out of memory, ends this connection alone. Loop thread only; neither
/// copied nor moved. About 250 bytes while it waits.
class Connection final : public ExchangeOwner, public Admission::Holder {
 public:
  /// Index in the keeper's table; the serial number makes it unique over time.
  struct Id {
    std::uint32_t index = 0;
    std::uint32_t serial = 0;
  };

  /// `viaProxy`: `client` is a trusted proxy, whose header names the real one.
  Connection(ConnectionKeeper& keeper, EventLoop& loop, Id id, UniqueFd socket,
             ListenerKind listener, const IpAddress& client, std::uint16_t clientPort,
             bool viaProxy);
  ~Connection();

  /// Watches for the first message; false if that failed.
  bool start() noexcept;
  /// It has got its slot: becomes an exchange and does what is possible without waiting.
  void admitted() override;
  /// Passes the site's answer to the exchange.
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

  /// Runs a step and handles what it throws; every entry point goes through it.
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
  std::uint16_t clientPort() const override { return clientPort_; }
  Responder makeResponder() override { return keeper_.makeResponder(*this); }
  void awaitRoom() override { watch_.wantRoom(); }
  void continueLater() override;
  void ended(UniqueFd socket, BodyLeft bodyLeft) override;

  ConnectionKeeper& keeper_;
  EventLoop& loop_;
  const Id id_;
  IpAddress client_;
  std::uint16_t clientPort_;
  bool holdsAddress_;
  const Clock::time_point accepted_;
  Phase phase_;
  const ListenerKind listener_;
  bool peerEnded_ = false;  ///< EOF from the peer, which the loop reports only once
  bool lowWater_ = false;   ///< SO_RCVLOWAT was changed
  RateWait wait_;           ///< set once the first message has arrived
  UniqueFd socket_;         ///< empty while the exchange has it
  Watch watch_;
  Timer deadline_;
  Admission::Slot slot_;  ///< its place in the queue; later moved into the exchange
  std::unique_ptr<Exchange> exchange_;
  std::unique_ptr<Drain> drain_;
};

}  // namespace egalaxyd
