#include "worker/dynamic/upstreams.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "worker/base/alarm.h"
#include "worker/dynamic/programs.h"

namespace egalaxyd {
namespace {

/// After that, an application has likely closed a connection that nobody used.
constexpr auto kLongestKept = std::chrono::seconds(60);

/// Whether an idle connection still stands, and nothing has come that nobody asked for.
bool stillStands(int socket) {
  char byte = 0;
  return ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

std::size_t shareOf(std::uint32_t connections, std::uint32_t workers) {
  return std::max<std::size_t>((connections + workers - 1) / std::max(workers, 1U), 1);
}

}  // namespace

Upstreams::Upstreams(UpstreamArgs args, std::uint32_t first, milliseconds patience)
    : args_(std::move(args)),
      first_(first),
      patience_(patience),
      turns_(args_.to.size(), args_.retryAfter),
      kept_(args_.to.size()) {}

Task<std::optional<Upstreams::Place>> Upstreams::takePlace(const Caller& caller,
                                                           Services& services) {
  const auto places = placesOf(caller.user, services.info.workers);
  if (places->isFree() && !places->someWait())
    co_return std::optional<Place>(std::in_place, places);
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
    ConnectionPlaces::Waiting waiting(*places, alarm, caller.client);
    while (!place && !late && (caller.goesOn || !caller.cancellation->requested())) {
      static_cast<void>(co_await alarm.wait());
      if (!waiting.isFirst() || !places->isFree()) continue;
      place.emplace(places);
      waiting.haveTurn();
    }
  }
  caller.cancellation->onRequest({});
  if (late && !place) {
    services.programs.fullness().warn(
        fmt::format("{}: no connection was free in time; the client got 41 (connections, "
                    "dynamic.queue_timeout)",
                    caller.name));
  }
  co_return place;
}

std::shared_ptr<ConnectionPlaces> Upstreams::placesOf(const std::string& user,
                                                      std::uint32_t workers) {
  std::erase_if(places_, [](const auto& each) { return each.second.expired(); });
  auto& known = places_[user];
  auto places = known.lock();
  if (!places) {
    places = std::make_shared<ConnectionPlaces>(shareOf(args_.connections, workers));
    known = places;
  }
  return places;
}

Task<Result<Upstreams::Connected>> Upstreams::connect(Place& place, const Caller& caller,
                                                      Services& services, Prepare prepare) {
  closeOld();
  Error why = Cancellation::error();
  for (const std::size_t upstream : turns_.order(Clock::now())) {
    const std::uint32_t number = first_ + static_cast<std::uint32_t>(upstream);
    Connected to{caller.fresh ? UniqueFd() : takeKept(upstream), upstream, false,
                 services.programs.upstream(number)};
    to.wasKept = static_cast<bool>(to.socket);
    Result<void> opened;
    if (!to.wasKept) opened = co_await open(to, caller, services, prepare);
    if (opened) {
      place.countAmong(to.counts.connections);
      co_return std::move(to);
    }
    if (!caller.goesOn && caller.cancellation->requested()) co_return Cancellation::error();
    why = opened.error();
    const bool isNone = why.code == ErrorCode::kNotFound;
    spdlog::log(isNone ? spdlog::level::info : spdlog::level::err, "{} ({}): {}", caller.name,
                address(upstream), why.message);
  }
  co_return why;
}

Task<Result<void>> Upstreams::open(Connected& to, const Caller& caller, Services& services,
                                   Prepare& prepare) {
  auto fit = co_await dial(to, caller, services);
  auto fault = UpstreamFault::kNoConnection;
  if (fit && prepare) {
    fit = co_await prepare(to);
    fault = UpstreamFault::kNoHandshake;
  }
  if (fit) {
    turns_.answered(to.upstream);
  } else if (fit.error().code != ErrorCode::kNotFound &&
             (caller.goesOn || !caller.cancellation->requested())) {
    const bool isItsFault = fit.error().code == ErrorCode::kIo;
    // What one user's application does is no other's fault.
    if (isItsFault && caller.user.empty()) turns_.refused(to.upstream, Clock::now());
    to.counts.fail(isItsFault ? fault : UpstreamFault::kNoLauncher);
  }
  to.counts.setAside(turns_.isAside(to.upstream, Clock::now()));
  co_return fit;
}

Task<Result<void>> Upstreams::dial(Connected& to, const Caller& caller, Services& services) {
  LauncherLink& launcher = services.programs.launcher(0);
  const std::uint32_t run = launcher.newRun();
  const DialUpstream order{run, first_ + static_cast<std::uint32_t>(to.upstream), caller.user};
  if (!caller.goesOn) caller.cancellation->onRequest([&launcher, run] { launcher.stop(run); });
  auto socket = co_await launcher.dial(order);
  caller.cancellation->onRequest({});
  if (!socket) co_return socket.error();
  to.socket = std::move(*socket);
  co_return Result<void>();
}

void Upstreams::keep(std::size_t upstream, UniqueFd socket, std::size_t most) {
  kept_[upstream].push_back({std::move(socket), Clock::now()});
  if (kept_[upstream].size() > most) kept_[upstream].pop_front();
}

UniqueFd Upstreams::takeKept(std::size_t upstream) {
  auto& kept = kept_[upstream];
  while (!kept.empty()) {
    UniqueFd newest = std::move(kept.back().socket);
    kept.pop_back();
    if (stillStands(newest.get())) return newest;
  }
  return {};
}

void Upstreams::closeOld() {
  const Clock::time_point oldest = Clock::now() - kLongestKept;
  for (auto& kept : kept_) {
    while (!kept.empty() && kept.front().since < oldest) kept.pop_front();
  }
}

Response noConnectionFree() {
  return Response::failure(Status::kServerUnavailable, "The server is busy, try again");
}

Response notConnected(const Error& why, const char* text) {
  if (why.code == ErrorCode::kNotFound) return Response::notFound();
  if (why.code == ErrorCode::kNoSpace || why.code == ErrorCode::kBusy) return noConnectionFree();
  return Response::failure(Status::kProxyError, text);
}

}  // namespace egalaxyd
