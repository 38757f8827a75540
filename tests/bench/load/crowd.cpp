#include "load/crowd.h"

#include <sys/epoll.h>

#include <array>
#include <limits>
#include <utility>

namespace egalaxyd::load {
namespace {

constexpr std::uint64_t kSweepNs = 20'000'000;

std::uint64_t toNs(double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); }

}  // namespace

Crowd::Crowd(const Options& options)
    : options_(options),
      context_(makeClientContext()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      clients_(static_cast<std::size_t>(options.connections)),
      left_(options.requests ? options.requests : std::numeric_limits<std::uint64_t>::max()),
      lid_(nowNs() + toNs(options.lid)) {}

void Crowd::prepare() {
  if (!options_.simultaneous) return;
  startUntil_ = lid_;
  // All words first: a server must not be blamed for closing those who say nothing for seconds.
  for (Client& client : clients_) client.holdBack(options_, context_);
  for (Client& client : clients_) {
    startNext(client);
    serveEvents(0);
  }
  const auto allReady = [this] {
    for (const Client& client : clients_) {
      if (client.active() && !client.isHeld()) return false;
    }
    return true;
  };
  while (!allReady() && nowNs() < lid_) serveEvents(20);
}

Report Crowd::run() {
  report_.beganNs = nowNs();
  startUntil_ = options_.seconds > 0 ? report_.beganNs + toNs(options_.seconds) : lid_;
  for (Client& client : clients_) {
    if (!options_.simultaneous) {
      startNext(client);
      serveEvents(0);  // those that have begun are not kept waiting by those that have not
    } else if (client.isHeld()) {
      client.speak();
    }
  }
  while (active_ > 0 || !paused_.empty()) serveEvents(20);
  report_.endedNs = nowNs();
  return std::move(report_);
}

void Crowd::startNext(Client& client) {
  if (left_ == 0 || nowNs() >= startUntil_) return;
  --left_;
  const auto sources = static_cast<std::size_t>(options_.sources);
  const int source = sources > 1 ? static_cast<int>(source_++ % sources) + 1 : 0;
  client.begin(options_, epoll_, source);
  ++active_;
}

void Crowd::serveEvents(int waitMs) {
  std::array<epoll_event, 512> events;
  const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), waitMs);
  for (int i = 0; i < count; ++i) {
    auto* client = static_cast<Client*>(events.at(static_cast<std::size_t>(i)).data.ptr);
    if (client->active() && client->advance(context_)) settle(*client);
  }
  if (nowNs() >= nextSweep_) sweep();
}

/// Counts what came of it and goes on with the next request.
void Crowd::settle(Client& client) {
  --active_;
  report_.count(client.outcome());
  if (client.outcome() == Outcome::kOk) {
    report_.bodyBytes += client.bodyBytes();
    report_.latenciesUs.push_back(static_cast<std::uint32_t>((nowNs() - client.beganNs()) / 1000));
  }
  if (client.outcome() == Outcome::kRefused) {
    paused_.push_back(&client);  // else a server that is gone is asked in a tight loop
  } else {
    startNext(client);
  }
}

void Crowd::sweep() {
  const std::uint64_t now = nowNs();
  nextSweep_ = now + kSweepNs;
  if (now >= lid_) left_ = 0;
  for (Client& client : clients_) {
    if (!client.active()) continue;
    if (now < client.beganNs() + toNs(options_.timeout) && now < lid_) continue;
    client.abandon(Outcome::kTimeout);
    settle(client);
  }
  std::vector<Client*> resumed;
  resumed.swap(paused_);
  for (Client* client : resumed) startNext(*client);
}

}  // namespace egalaxyd::load
