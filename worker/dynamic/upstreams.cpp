#include "worker/dynamic/upstreams.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "worker/base/alarm.h"
#include "worker/dynamic/programs.h"

namespace egalaxyd {
namespace {

std::size_t shareOf(std::uint32_t connections, std::uint32_t workers) {
  return std::max<std::size_t>((connections + workers - 1) / std::max(workers, 1U), 1);
}

}  // namespace

Upstreams::Upstreams(UpstreamArgs args, std::uint32_t first, milliseconds patience)
    : args_(std::move(args)),
      first_(first),
      patience_(patience),
      turns_(args_.to.size(), args_.retryAfter) {}

Task<std::optional<Upstreams::Place>> Upstreams::takePlace(const Caller& caller,
                                                           Services& services) {
  places_.limit(shareOf(args_.connections, services.info.workers));
  if (places_.isFree() && !places_.someWait())
    co_return std::optional<Place>(std::in_place, places_);
  Alarm alarm(services.loop);
  bool late = false;
  Timer deadline(services.loop, [&] {
    late = true;
    alarm.ring();
  });
  deadline.setAfter(patience_);
  caller.cancellation->onRequest([&alarm] { alarm.ring(); });
  std::optional<Place> place;
  {
    const ConnectionPlaces::Waiting waiting(places_, alarm);
    while (!place && !late && (caller.goesOn || !caller.cancellation->requested())) {
      static_cast<void>(co_await alarm.wait());
      if (waiting.isFirst() && places_.isFree()) place.emplace(places_);
    }
  }
  caller.cancellation->onRequest({});
  if (late && !place) {
    spdlog::warn(
        "{}: no connection was free in time; the client got 41 (connections, "
        "dynamic.queue_timeout)",
        caller.name);
  }
  co_return place;
}

Task<std::optional<Upstreams::Connected>> Upstreams::connect(const Caller& caller,
                                                             Services& services, Prepare prepare) {
  for (const std::size_t upstream : order()) {
    auto connected = co_await dial(upstream, caller, services);
    if (connected && prepare) {
      if (auto fit = co_await prepare(*connected); !fit) connected = fit.error();
    }
    if (connected) {
      turns_.answered(upstream);
      co_return std::move(*connected);
    }
    if (!caller.goesOn && caller.cancellation->requested()) co_return std::nullopt;
    spdlog::error("{} ({}): {}", caller.name, address(upstream), connected.error().message);
    if (connected.error().code == ErrorCode::kIo) turns_.refused(upstream, Clock::now());
  }
  co_return std::nullopt;
}

Task<Result<Upstreams::Connected>> Upstreams::dial(std::size_t upstream, const Caller& caller,
                                                   Services& services) {
  LauncherLink& launcher = services.programs.launcher(0);
  const std::uint32_t run = launcher.newRun();
  const DialUpstream order{run, first_ + static_cast<std::uint32_t>(upstream)};
  if (!caller.goesOn) caller.cancellation->onRequest([&launcher, run] { launcher.stop(run); });
  auto socket = co_await launcher.dial(order);
  caller.cancellation->onRequest({});
  if (!socket) co_return socket.error();
  co_return Connected{std::move(*socket), upstream};
}

Response noConnectionFree() {
  return Response::failure(Status::kServerUnavailable, "The server is busy, try again");
}

}  // namespace egalaxyd
