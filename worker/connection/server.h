// Accepts connections, applies the limits, hands out slots, drains.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/loop/event_loop.h"
#include "worker/base/rare_error.h"
#include "worker/connection/connection.h"
#include "worker/connection/connection_limit.h"
#include "worker/connection/handshake_costs.h"
#include "worker/connection/shared_rate_limiter.h"
#include "worker/exchange/admission.h"
#include "worker/exchange/refusals.h"
#include "worker/plan/worker_setup.h"
#include "worker/transport/cpu_meter.h"
#include "worker/transport/tls_transport.h"

namespace egalaxyd {

struct ServingPlan;

/// All clients of one worker. Loop thread only.
class Server final : public ConnectionKeeper {
 public:
  /// `setup`'s plan and shared memory, `services` and `storage` must outlive the server.
  Server(const WorkerSetup& setup, Services& services, StorageLane& storage);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Begins to accept.
  Result<void> start();
  /// Closes the listening sockets, on which other workers go on accepting. If the master has
  /// filtered new SYNs (common/system/listening.h) no worker will, so connections that the kernel
  /// has made are accepted first. `closed` is called once, when all sockets are closed, and then
  /// `done`, when the last connection has ended.
  void drain(std::function<void()> closed, std::function<void()> done);
  /// Aborts every connection, and closes the listening sockets that drain() has left open; returns
  /// the number of connections.
  std::size_t abortAll(std::string_view why);
  /// Ends connections whose end failed for lack of memory. To be called now and then.
  void retryEnds();
  /// Logs the number of refusals that got no line of their own. To be called each second.
  void tellRefusals() { refusals_.tell(); }
  /// Exchanges under way now.
  std::size_t exchanges() const { return admission_.holders(); }
  /// The most exchanges at any time since the last call.
  std::size_t takeMostExchanges() { return std::exchange(mostExchanges_, exchanges()); }

 private:
  struct Listener;
  struct Place {
    std::uint32_t serial = 0;
    std::unique_ptr<Connection> connection;
    bool failed = false;  ///< threw an exception: to be aborted
    bool closed = false;  ///< to be destroyed
  };

  /// The outcome of an attempt to accept.
  enum class Accepted { kOne, kNobody, kPaused };
  bool acceptFrom(Listener& listener);
  Accepted acceptOne(Listener& listener);
  void addPlace();
  void accept(UniqueFd socket, ListenerKind listener, const sockaddr& from);
  RateLimiter* chooseRateLimiter();
  bool isDenied(const IpAddress& client) override;
  bool isProxy(const IpAddress& client) const;
  void closeListener(Listener& listener);
  void closeListeners();
  void leaveIfDone();
  Accepted pauseAccepting(const char* why);
  Accepted pauseListener(Listener& listener);
  void resumeAccepting();
  void admitSoon() noexcept;
  void onSlotFreed() noexcept;
  void admit();
  void makeRoom();
  std::size_t exchangesElsewhere() const;
  Connection* find(Connection::Id id);
  void destroy(Connection::Id id);

  const ExchangeContext& exchangeContext() const override { return exchangeContext_; }
  bool takeAddress(const IpAddress& client) override;
  std::unique_ptr<Transport> makeTransport(ListenerKind listener, UniqueFd socket) override;
  RateVerdict count(const IpAddress& client) override;
  Admission::Slot queueUp(Connection& connection) override;
  void charge(const IpAddress& client, Clock::duration cpu) override;
  void closed(Connection& connection) override;
  void complain(std::string text) override;
  void failed(Connection& connection, std::string_view what) override;
  Responder makeResponder(Connection& connection) override;

  const ServingPlan& plan_;
  SharedState& shared_;
  const std::size_t sharedSlot_;
  EventLoop& loop_;
  std::optional<SharedRateLimiter> ownRateLimiter_;
  RateLimiter* const rateLimiter_;  ///< nullptr: none
  Gate gate_;
  CpuMeter cpuMeter_;
  Refusals refusals_;
  LostClients lost_;
  const std::optional<HostMap<std::size_t>> siteLogs_;
  ExchangeContext exchangeContext_;
  TlsIo tlsIo_;
  HandshakeCosts costs_;
  Admission admission_;
  std::deque<Listener> listeners_;
  std::vector<Place> places_;
  std::vector<std::uint32_t> freePlaces_;
  const std::size_t connectionLimit_;
  std::size_t open_ = 0;
  std::size_t mostExchanges_ = 0;
  bool admitting_ = false;  ///< admit() has been deferred
  bool draining_ = false;
  std::function<void()> closed_;  ///< set while draining, until it is called
  std::function<void()> drained_;
  Timer resume_;
  Timer closing_;
  Timer makeRoom_;
  Clock::time_point lastComplaint_{};
  RareError errors_;
  RareError complaints_;
  bool retryEnds_ = false;  ///< retryEnds() has something to do
};

}  // namespace egalaxyd
