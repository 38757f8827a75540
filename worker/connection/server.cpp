#include "worker/connection/server.h"

#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <unordered_set>
#include <utility>

#include "common/config/log_places.h"
#include "common/system/listening.h"
#include "worker/plan/serving_plan.h"
#include "worker/transport/plain_transport.h"

namespace egalaxyd {
namespace {

/// Connections accepted from one listener before other events get their turn.
constexpr int kAcceptsPerTurn = 16;
/// The most handshakes under way in all workers. With kExchanges it bounds the memory for TLS: some
/// 50 KiB during a handshake, some 15 KiB for each exchange.
constexpr std::size_t kHandshakes = 128;
constexpr std::size_t kLeastHandshakes = 16;  ///< the least for one worker
/// Exchanges begun per turn; then those under way get theirs.
constexpr int kAdmissionsPerTurn = 8;
/// The pause in accepting at a limit: other processes may lift it, and no event tells of that.
constexpr auto kPause = std::chrono::milliseconds(50);
/// The time that TCP handshakes under way get to complete before a listening socket is closed.
constexpr auto kRoundTrip = std::chrono::milliseconds(100);
/// How often holders to evict are looked for, while connections wait for a slot.
constexpr auto kPatienceTick = std::chrono::milliseconds(10);
constexpr auto kComplaintInterval = std::chrono::minutes(1);

AdmissionLimits admissionLimits(unsigned workers) {
  return {.handshakes = std::max(kHandshakes / workers, kLeastHandshakes),
          .own = kExchanges / (2 * workers),
          .all = kExchanges};
}

std::size_t connectionLimit(std::size_t logs) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  return connectionsWithin(files.rlim_cur - std::min<rlim_t>(files.rlim_cur, logs));
}

HostMap<bool> spartanHosts(const Config& config) {
  HostMap<bool> hosts;
  for (const SiteConfig& site : config.sites) {
    hosts.add(site.host, site.spartan);
    for (const std::string& alias : site.aliases) hosts.add(alias, site.spartan);
  }
  return hosts;
}

/// Which log takes the lines of a host; nullopt where no site has one of its own, so that no
/// request is looked up.
std::optional<HostMap<std::size_t>> siteLogs(const Config& config) {
  const auto hasOwn = [](const SiteConfig& site) { return !site.log.empty(); };
  if (std::ranges::none_of(config.sites, hasOwn)) return std::nullopt;
  const std::vector<LogPlace> places = logPlaces(config);
  HostMap<std::size_t> hosts;
  for (const SiteConfig& site : config.sites) {
    const std::size_t place = accessPlace(config, places, &site);
    hosts.add(site.host, place);
    for (const std::string& alias : site.aliases) hosts.add(alias, place);
  }
  return hosts;
}

std::uint16_t portOf(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  }
  return address.sa_family == AF_INET6
             ? ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port)
             : std::uint16_t{0};
}

bool holds(const std::vector<Cidr>& networks, const IpAddress& client) {
  return std::ranges::any_of(networks,
                             [&](const Cidr& network) { return network.contains(client); });
}

}  // namespace

struct Server::Listener {
  Listener(Server& server, const ListenerSocket& listenerSocket)
      : socket(listenerSocket),
        watch(server.loop_, [this, &server](IoEvents) { server.acceptFrom(*this); }) {}

  ListenerSocket socket;
  Watch watch;
  bool open = true;
};

Server::Server(const WorkerSetup& setup, Services& services, StorageLane& storage)
    : plan_(*setup.plan),
      shared_(*setup.shared),
      sharedSlot_(setup.sharedSlot),
      loop_(services.loop),
      rateLimiter_(chooseRateLimiter()),
      gate_(*plan_.router),
      refusals_(plan_.config.log.clientIp),
      lost_(plan_.config.log.clientIp),
      siteLogs_(siteLogs(plan_.config)),
      exchangeContext_{.gate = gate_,
                       .limits = plan_.config.limits,
                       .people = plan_.config.people,
                       .addressMask = plan_.config.log.clientIp,
                       .counters = setup.shared->slot(setup.sharedSlot),
                       .services = services,
                       .storage = storage,
                       .cpuMeter = cpuMeter_,
                       .refusals = refusals_,
                       .lost = lost_,
                       .rateLimiter = rateLimiter_,
                       .siteLogs = siteLogs_ ? &*siteLogs_ : nullptr},
      costs_(std::random_device{}()),
      admission_(admissionLimits(setup.workerCount), [this] { onSlotFreed(); }),
      connectionLimit_(connectionLimit(setup.logs.size())),
      resume_(loop_, [this] { resumeAccepting(); }),
      closing_(loop_, [this] { closeListeners(); }),
      makeRoom_(loop_, [this] { makeRoom(); }) {
  std::unordered_set<std::uint16_t> ports(plan_.config.listen.publicPorts.begin(),
                                          plan_.config.listen.publicPorts.end());
  std::uint16_t readPort = 0;  // the first Gemini port
  std::uint16_t spartanPort = 0;
  for (const ListenerSocket& socket : setup.listeners) {
    ports.insert(socket.port);
    if (readPort == 0 && socket.kind == ListenerKind::kGemini) readPort = socket.port;
    if (spartanPort == 0 && socket.kind == ListenerKind::kSpartan) spartanPort = socket.port;
    listeners_.emplace_back(*this, socket);
  }
  gate_.setPorts(std::move(ports), readPort, spartanPort);
  gate_.setSpartanHosts(spartanHosts(plan_.config));
  gate_.setRedirects(plan_.redirects);
}

Server::~Server() { refusals_.tell(); }

Result<void> Server::start() {
  for (Listener& listener : listeners_) {
    auto started = listener.watch.start(listener.socket.fd, WatchMode::kSharedRead);
    if (!started) return started;
  }
  return {};
}

void Server::drain(std::function<void()> closed, std::function<void()> done) {
  draining_ = true;
  closed_ = std::move(closed);
  drained_ = std::move(done);
  resume_.cancel();
  bool last = false;
  for (Listener& listener : listeners_) {
    if (refusesNewcomers(listener.socket.fd)) {
      last = true;
    } else {
      closeListener(listener);
    }
  }
  if (!last) return closeListeners();
  closing_.setAfter(kRoundTrip);
}

/// Listening sockets on which connections still wait are tried again later.
void Server::closeListeners() {
  bool waiting = false;
  for (Listener& listener : listeners_) {
    if (!listener.open) continue;
    if (acceptFrom(listener)) {
      closeListener(listener);
    } else {
      waiting = true;
    }
  }
  if (waiting) return closing_.setAfter(kPause);
  std::exchange(closed_, nullptr)();
  leaveIfDone();
}

void Server::closeListener(Listener& listener) {
  if (!std::exchange(listener.open, false)) return;
  listener.watch.stop();
  ::close(listener.socket.fd);
}

void Server::leaveIfDone() {
  if (draining_ && !closed_ && open_ == 0) drained_();
}

std::size_t Server::abortAll(std::string_view why) {
  if (closing_.active()) {
    for (Listener& listener : listeners_) closeListener(listener);
    closing_.setAfter({});
  }
  std::size_t aborted = 0;
  for (Place& place : places_) {
    if (!place.connection) continue;
    place.connection->abort(why);
    ++aborted;
  }
  return aborted;
}

/// True if no connection waits there any more.
bool Server::acceptFrom(Listener& listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const Accepted accepted = acceptOne(listener);
    if (accepted != Accepted::kOne) return accepted == Accepted::kNobody;
  }
  return false;
}

Server::Accepted Server::acceptOne(Listener& listener) {
  const auto most = static_cast<std::int64_t>(plan_.config.limits.connections);
  // Each other worker counts for three quarters at most, so one that lies leaves us a quarter.
  if (shared_.held(Gauge::kOpenConnections, sharedSlot_, most - most / 4) >= most) {
    return pauseAccepting("limits.connections is reached");
  }
  if (open_ >= connectionLimit_) {
    return pauseAccepting("the limit on open files (LimitNOFILE of the service) is near");
  }
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  UniqueFd socket(::accept4(listener.socket.fd, generic, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return pauseAccepting("no file descriptors or memory left");
    }
    if (errno == EINVAL) return pauseListener(listener);
    // The client may have left before it was accepted.
    return errno == EAGAIN ? Accepted::kNobody : Accepted::kOne;
  }
  try {
    accept(std::move(socket), listener.socket.kind, *generic);
  } catch (const std::bad_alloc&) {
    return pauseAccepting("no memory left");
  }
  return Accepted::kOne;
}

void Server::accept(UniqueFd socket, ListenerKind listener, const sockaddr& from) {
  const IpAddress client = IpAddress::fromSockaddr(from);
  WorkerSlot& counters = exchangeContext_.counters;
  counters.add(Counter::kConnections);
  if (isDenied(client)) return;
  const bool viaProxy = isProxy(client);
  if (freePlaces_.empty()) addPlace();
  const std::uint32_t index = freePlaces_.back();
  Place& place = places_[index];
  const Connection::Id id{index, place.serial};
  auto connection = std::make_unique<Connection>(*this, loop_, id, std::move(socket), listener,
                                                 client, portOf(from), viaProxy);
  // Nothing throws from here on.
  if (!viaProxy && !takeAddress(client)) return;
  freePlaces_.pop_back();
  place.connection = std::move(connection);
  ++open_;
  counters.add(Gauge::kOpenConnections, 1);
  if (!place.connection->start()) place.connection->abort("cannot be watched");
}

/// Reserves room in freePlaces_ for all places, so that giving one back never allocates.
void Server::addPlace() {
  if (freePlaces_.capacity() <= places_.size()) freePlaces_.reserve(2 * places_.size() + 1);
  places_.emplace_back();
  freePlaces_.push_back(static_cast<std::uint32_t>(places_.size() - 1));
}

bool Server::takeAddress(const IpAddress& client) {
  const std::uint32_t most = plan_.config.limits.connectionsPerIp;
  if (shared_.takeAddress(sharedSlot_, PerAddress::kConnections, client, most)) return true;
  exchangeContext_.counters.add(Counter::kConnectionsRefused);
  return false;
}

RateLimiter* Server::chooseRateLimiter() {
  const RateLimitConfig& config = plan_.config.rateLimit;
  if (!config.enabled) return nullptr;
  if (plan_.rateLimiter) return plan_.rateLimiter.get();
  return &ownRateLimiter_.emplace(config, shared_);
}

bool Server::isDenied(const IpAddress& client) {
  if (!holds(plan_.config.listen.deny, client)) return false;
  exchangeContext_.counters.add(Counter::kConnectionsDenied);
  return true;
}

bool Server::isProxy(const IpAddress& client) const {
  return holds(plan_.config.listen.proxyProtocolFrom, client);
}

Server::Accepted Server::pauseAccepting(const char* why) {
  if (loop_.now() - lastComplaint_ > kComplaintInterval) {
    lastComplaint_ = loop_.now();
    spdlog::warn("new connections wait: {}; {} are open here", why, open_);
  }
  for (Listener& listener : listeners_) listener.watch.stop();
  resume_.setAfter(kPause);
  return Accepted::kPaused;
}

/// EINVAL: the socket no longer listens. The master mends that within a second.
Server::Accepted Server::pauseListener(Listener& listener) {
  listener.watch.stop();
  if (!resume_.active()) resume_.setAfter(kPause);
  return Accepted::kNobody;
}

void Server::resumeAccepting() {
  if (draining_) return;
  if (const auto started = start(); !started) {
    spdlog::error("cannot accept again: {}", started.error().message);
    resume_.setAfter(kPause);
  }
}

/// Defers admit() to the turn's end: established work goes before new work.
void Server::admitSoon() noexcept {
  if (std::exchange(admitting_, true)) return;
  try {
    loop_.defer([this] { admit(); });
  } catch (const std::bad_alloc&) {
    admitting_ = false;
    retryEnds_ = true;
  }
}

/// Addresses take turns; connections of one address are served in order of arrival.
void Server::admit() {
  admitting_ = false;
  for (int begun = 0; begun < kAdmissionsPerTurn; ++begun) {
    Admission::Holder* next = admission_.admitNext(exchangesElsewhere());
    if (next == nullptr) break;
    exchangeContext_.counters.add(Gauge::kExchanges, 1);
    mostExchanges_ = std::max(mostExchanges_, admission_.holders());
    next->admitted();
    if (begun + 1 == kAdmissionsPerTurn) admitSoon();
  }
  if (admission_.waiting() > 0 && !makeRoom_.active()) makeRoom_.setAfter(kPatienceTick);
}

void Server::makeRoom() {
  for (Admission::Holder* holder : admission_.yielding(loop_.now(), exchangesElsewhere())) {
    holder->yield();
  }
  admitSoon();
}

std::size_t Server::exchangesElsewhere() const {
  const auto all = static_cast<std::size_t>(shared_.total(Gauge::kExchanges));
  return all - std::min(all, admission_.holders());
}

Connection* Server::find(Connection::Id id) {
  Place& place = places_[id.index];
  return place.serial == id.serial ? place.connection.get() : nullptr;
}

void Server::destroy(Connection::Id id) {
  Place& place = places_[id.index];
  if (place.connection->holdsAddress()) {
    shared_.releaseAddress(sharedSlot_, PerAddress::kConnections, place.connection->client());
  }
  exchangeContext_.counters.add(Gauge::kOpenConnections, -1);
  place = Place{place.serial + 1, nullptr};
  freePlaces_.push_back(id.index);
  --open_;
  leaveIfDone();
}

std::unique_ptr<Transport> Server::makeTransport(ListenerKind listener, UniqueFd socket) {
  if (listener == ListenerKind::kSpartan) {
    return std::make_unique<PlainTransport>(std::move(socket));
  }
  return std::make_unique<TlsTransport>(std::move(socket), tlsIo_, plan_.tls->initial());
}

/// Keeps a flood cheap to refuse: after some answers in a second, connections of the address are
/// closed without even a handshake.
RateVerdict Server::count(const IpAddress& client) {
  if (rateLimiter_ == nullptr) return {};
  const RateWait wait = rateLimiter_->count(client);
  const bool close = wait && !refusals_.mayAnswer(client);
  if (close) exchangeContext_.counters.add(Counter::kConnectionsRefused);
  return {wait, close};
}

Admission::Slot Server::queueUp(Connection& connection) {
  const bool isCostly = costs_.isCostly(connection.client(), loop_.now());
  admitSoon();
  return admission_.enqueue(connection, connection.client(), isCostly);
}

void Server::charge(const IpAddress& client, Clock::duration cpu) {
  const Clock::time_point now = loop_.now();
  costs_.charge(client, cpu, now);
  if (costs_.isCostly(client, now)) admission_.demote(client);
}

void Server::onSlotFreed() noexcept {
  exchangeContext_.counters.add(Gauge::kExchanges, -1);
  admitSoon();
}

void Server::closed(Connection& connection) {
  const Connection::Id id = connection.id();
  places_[id.index].failed = false;
  try {
    loop_.defer([this, id] { destroy(id); });
  } catch (const std::bad_alloc&) {
    places_[id.index].closed = true;
    retryEnds_ = true;
  }
}

void Server::complain(std::string text) { complaints_.log({ErrorCode::kInvalid, std::move(text)}); }

void Server::failed(Connection& connection, std::string_view what) {
  places_[connection.id().index].failed = true;
  retryEnds_ = true;
  try {
    errors_.log(
        {ErrorCode::kNoSpace, "a connection was ended by an exception: " + std::string(what)});
  } catch (const std::bad_alloc&) {
    // Only the log line is lost.
  }
}

void Server::retryEnds() {
  if (!std::exchange(retryEnds_, false)) return;
  for (Place& place : places_) {
    if (std::exchange(place.closed, false)) {
      closed(*place.connection);
    } else if (place.failed) {
      place.connection->abort("failed");
    }
  }
  admitSoon();
}

Responder Server::makeResponder(Connection& connection) {
  return Responder([this, id = connection.id()](std::optional<Response> response) {
    if (Connection* found = find(id)) found->respond(std::move(response));
  });
}

}  // namespace egalaxyd
