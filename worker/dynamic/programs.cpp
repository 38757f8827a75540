#include "worker/dynamic/programs.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "common/base/random_number.h"
#include "common/shared/script_names.h"

namespace egalaxyd {
namespace {

/// For how long a client that has too many requests under way is told to wait, in seconds.
constexpr const char* kTooManyWait = "5";

}  // namespace

Programs::Programs(EventLoop& loop, SharedState& shared, std::size_t slot, const Config& config,
                   std::int64_t worker, std::vector<UniqueFd> launchers)
    : shared_(shared),
      slot_(slot),
      counters_(shared.slot(slot)),
      limits_(config.dynamic),
      addressMask_(config.log.clientIp),
      spool_(config.server.stateDir / kSpoolFolder),
      worker_(worker) {
  for (UniqueFd& channel : launchers) {
    links_.push_back(std::make_unique<LauncherLink>(loop, counters_));
    links_.back()->connect(std::move(channel));
  }
}

std::variant<ProgramPlace, Response> Programs::admit(const IpAddress& client) {
  // What another worker claims leaves a quarter to the others.
  const std::int64_t most = limits_.requests;
  if (shared_.held(Gauge::kProgramRequests, slot_, most - most / 4) >= most) {
    fullness_.warn(
        "a client got 41: scripts and applications have all the requests that they may "
        "have at once (dynamic.requests)");
    return Response::failure(Status::kServerUnavailable, "The server is busy, try again");
  }
  const IpAddress key = client.limitKey();
  if (!shared_.takeAddress(slot_, PerAddress::kProgramRequests, key, limits_.requestsPerIp)) {
    greed_.warn(
        fmt::format("{} got 44: it has as many requests to scripts and applications as one "
                    "address may have at once (dynamic.requests_per_ip)",
                    client.text(addressMask_)));
    return Response::failure(Status::kSlowDown, kTooManyWait);
  }
  counters_.add(Gauge::kProgramRequests, 1);
  return ProgramPlace(shared_, slot_, key);
}

void Programs::connect(std::size_t number, UniqueFd channel) {
  if (number < links_.size()) links_[number]->connect(std::move(channel));
}

/// Scripts' accounts can open what is in the folder, but not list it.
std::string Programs::newSpoolName() {
  return fmt::format("{}-{}-{}", worker_, ++spooled_, randomNumber());
}

std::size_t Programs::running() const {
  std::size_t all = 0;
  for (const auto& link : links_) all += link->running();
  return all;
}

void Programs::stopAll() {
  stopped_ = true;
  for (Alarm* alarm : *waiting_) alarm->ring();
  for (const auto& link : links_) link->stopAll();
}

void Programs::close() { links_.clear(); }

}  // namespace egalaxyd
