// What an exchange and its parts see of the worker and of their connection.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/config/config.h"
#include "common/loop/event_loop.h"
#include "common/shared/shared_state.h"
#include "common/wire/ip_address.h"
#include "worker/base/storage_lane.h"
#include "worker/exchange/lost_clients.h"
#include "worker/exchange/refusals.h"
#include "worker/route/router.h"
#include "worker/site/rate_limiter.h"
#include "worker/site/responder.h"
#include "worker/site/site.h"
#include "worker/transport/cpu_meter.h"

namespace egalaxyd {

/// What every exchange of a worker uses; outlives them all.
struct ExchangeContext {
  const Gate& gate;
  const LimitsConfig& limits;
  const People& people;
  AddressMask addressMask;
  WorkerSlot& counters;
  Services& services;
  StorageLane& storage;  ///< for visits
  CpuMeter& cpuMeter;
  Refusals& refusals;
  LostClients& lost;
  RateLimiter* rateLimiter = nullptr;  ///< nullptr: none
  /// Which log (index into logPlaces()) takes the lines of a host. nullptr: all go to the usual
  /// one.
  const HostMap<std::size_t>* siteLogs = nullptr;

  /// How long a site may take: what it stores may wait for a database, and is then answered by it.
  std::chrono::milliseconds timeOfSite() const { return limits.writeTimeout + storage.patience(); }
};

/// How long a client that asks too often has to wait; nullopt: not at all.
using RateWait = std::optional<std::chrono::seconds>;

/// Bytes of a body; nullopt if the request could not be parsed: there may be some or none.
using BodyLeft = std::optional<std::uint64_t>;

/// The connection, as its exchange sees it.
class ExchangeOwner {
 public:
  /// Sets the exchange's only deadline; Exchange::onDeadline is called `delay` from now.
  virtual void setDeadline(Clock::duration delay) = 0;
  /// Reports the CPU time of a step of the handshake, which may still fail.
  virtual void charge(Clock::duration cpu) = 0;
  /// The client's, 0 where it is not known.
  virtual std::uint16_t clientPort() const { return 0; }
  /// Calls Exchange::respond with the answer, unless the exchange has ended by then.
  virtual Responder makeResponder() = 0;
  /// Calls Exchange::onReady when the socket, whose buffer is full, takes bytes again.
  virtual void awaitRoom() = 0;
  /// Calls Exchange::onReady soon, after other connections had their turn.
  virtual void continueLater() = 0;
  /// The exchange has ended; it is destroyed after the current callback. `socket` is open if
  /// closing it now could cost the client its answer, otherwise empty. `bodyLeft`: announced bytes
  /// of a body that have not been read; some may be in the socket already.
  virtual void ended(UniqueFd socket, BodyLeft bodyLeft) = 0;

 protected:
  ~ExchangeOwner() = default;
};

}  // namespace egalaxyd
