#include "master/master.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <iterator>
#include <set>
#include <utility>

#include "common/base/path.h"
#include "common/shared/script_names.h"
#include "common/system/listening.h"
#include "common/system/log.h"
#include "common/tls/certificate_names.h"
#include "common/wire/control_protocol.h"
#include "master/child/spool.h"
#include "master/master_process.h"
#include "master/restore_backup.h"
#include "master/start/server_paths.h"
#include "master/supervise/generation_notes.h"
#include "master/supervise/rehearsal.h"

namespace egalaxyd {
namespace {

/// timeout(1) signals a process and then its whole group: two signals within this time are one.
constexpr auto kOneStop = std::chrono::milliseconds(10);
/// How long a start waits for the uploads of workers that have died.
constexpr auto kRecoveryPatience = std::chrono::seconds(10);
/// How long a launcher may take to end its scripts when the server stops: TERM, then KILL.
constexpr auto kLaunchersEnd = std::chrono::seconds(5);
constexpr auto kLivenessInterval = std::chrono::seconds(1);
/// A worker whose heartbeat has not changed in this many checks is killed.
constexpr unsigned kMostMissedBeats = 15;

/// Between two rounds in which workers are replaced because their sandbox is too old.
constexpr Clock::duration kLeastFollowPause = std::chrono::seconds(4);
constexpr Clock::duration kMostFollowPause = std::chrono::minutes(5);

/// How long a rehearsal may take. A process that waits for a dead mount survives SIGKILL, so
/// several may exist at once.
constexpr auto kRehearsal = std::chrono::seconds(60);
constexpr std::size_t kRehearsals = 4;

/// How long after a start, a renewal or a change that is not whole yet files are looked at again.
constexpr auto kWatchPause = std::chrono::seconds(2);
/// And after certificates could not be taken up.
constexpr auto kWatchRetry = std::chrono::minutes(10);
constexpr auto kLookPatience = std::chrono::seconds(60);

/// What was done before the fork may have replaced stderr (--daemon).
void renewStandardError(Generation& generation) {
  const std::vector<LogPlace> places = logPlaces(generation.config);
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].target != "stderr") continue;
    if (auto log = openLogTarget(places[i].target)) generation.logs[i] = std::move(*log);
  }
}

void raiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Master::Master(MasterHooks hooks)
    : hooks_(std::move(hooks)),
      rehearsals_(std::make_unique<QueryRunner>(
          *loop_, QuerySettings{.most = kRehearsals,
                                .patience = kRehearsal,
                                .busy = "earlier reloads still wait for something that does not "
                                        "answer, most likely a mount",
                                .late = fmt::format(
                                    "the configuration could not be read within {} s: a mount, a "
                                    "name server or a plug-in does not answer, or there is much to "
                                    "make; what was made so far is kept: try again",
                                    kRehearsal.count()),
                                .process = "the process that read the configuration"})),
      urlTrial_(std::make_unique<QueryRunner>(
          *loop_, QuerySettings{.most = 1, .process = "the process that tried the URLs"})),
      looks_(std::make_unique<QueryRunner>(
          *loop_,
          QuerySettings{.most = 1,
                        .patience = kLookPatience,
                        .busy = "the last look still waits for something that does not answer",
                        .late = "the disk or the mount that they are on does not answer",
                        .process = "the process that looked at them"})),
      followPause_(kLeastFollowPause) {}

Master::~Master() { reportFaults(nullptr); }

std::optional<Failure> Master::prepare(const Config& config) {
  storage_ = config.storage;
  if (auto failure = takeStateAndLog(config)) return failure;
  raiseDescriptorLimit();
  auto shared = SharedState::create();
  if (!shared) return failureOf(shared.error(), EX_OSERR);
  shared_ = std::move(*shared);
  auto inherited = takeInheritedSockets();
  if (!inherited) return failureOf(inherited.error(), EX_CONFIG);
  inherited_ = std::move(*inherited);
  auto built = buildGeneration(newest_, config, inherited_, {}, nullptr);
  if (auto* failure = std::get_if<Failure>(&built)) return *failure;
  prepareStorage(*std::get<std::unique_ptr<Generation>>(built));
  generations_[newest_] = std::move(std::get<std::unique_ptr<Generation>>(built));
  storageTrouble_ = generations_[newest_]->storageTrouble;
  return std::nullopt;
}

std::optional<Failure> Master::takeStateAndLog(const Config& config) {
  if (auto limited = keepMasterCapabilities(); !limited) {
    return failureOf(limited.error(), EX_OSERR);
  }
  auto account = workerAccount(config.server.user, config.server.group);
  if (!account && account.error().code == ErrorCode::kPermission) {
    return failureOf(account.error(), EX_NOPERM);
  }
  if (!account) return failureOf(Complaints{complaintOf("server.user", account.error())});
  const ServerPaths paths{config.server.stateDir, config.server.runtimeDir};
  if (auto made = makeServerPaths(paths, *account); !made) {
    return failureOf(made.error(), EX_CANTCREAT);
  }
  auto lock = InstanceLock::take(paths.state);
  if (!lock) return failureOf(lock.error(), EX_CANTCREAT);
  lock_.emplace(std::move(*lock));
  if (auto whole = noRestoreUnderWay(paths.state); !whole) {
    return failureOf(whole.error(), EX_CANTCREAT);
  }
  if (auto opened = openLog(config.log, "master"); !opened) {
    return failureOf(opened.error(), EX_CANTCREAT);
  }
  reportFaults([this](std::int64_t time, bool isError, std::string_view text) {
    faults_.add(time, isError, text);
  });
  return std::nullopt;
}

int Master::run() {
  std::signal(SIGPIPE, SIG_IGN);
  Generation& first = *generations_.at(newest_);
  noteListeners(first, inherited_);
  noteAccount(first);
  noteOpenFiles(first);
  uploads_ = std::make_unique<UploadSettler>(*loop_, [this](const DeadWorkers& dead) {
    const Generation& generation = current();
    auto done = recoverInChild(generation.config, generation.account, dead);
    emptySpool(generation.config.server.stateDir, dead);
    return done;
  });
  uploads_->settleBeforeStart(kRecoveryPatience);
  // Up to here, which may take long, SIGTERM and its like end the process at once (the default).
  // SIGHUP and SIGUSR1, which MasterApp has blocked, are delivered from here on.
  signals_.emplace(*loop_, std::initializer_list<int>{SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1},
                   [this](int signal) { onSignal(signal); });
  if (auto allowed = hooks_.beforeFork(); !allowed) {
    spdlog::error("{}", allowed.error().message);
    return failureOf(allowed.error(), EX_CANTCREAT).exitCode;
  }
  renewStandardError(first);
  loop_->containExceptions([](std::string_view what) {
    spdlog::error("a step of the event loop was ended by an exception: {}", logQuote(what));
  });
  launchers_ = std::make_unique<LauncherKeeper>(*loop_, launcherHooks());
  desk_ = std::make_unique<ControlDesk>(*loop_, static_cast<ManagedMaster&>(*this));
  desk_->open();
  page_ = std::make_unique<StatusKeeper>(
      *loop_, *shared_, [this] { return encodeControlAnswer(desk_->figures(faults_)); });
  service_.emplace(*loop_);
  liveness_.emplace(*loop_, [this] { checkWorkers(); });
  liveness_->setAfter(kLivenessInterval);
  certificates_.emplace(*loop_, [this] { lookAtCertificates(); });
  watchTimer_.emplace(*loop_, [this] { lookForRenewed(); });
  tick_.emplace(*loop_, [this] { perform(supervisor_.tick(Clock::now())); });
  beginLaunchers(first);
  perform(
      supervisor_.start(newest_, first.workers, first.config.server.drainTimeout, Clock::now()));
  loop_->run();
  return exitCode_;
}

void Master::onSignal(int signal) {
  if (signal == SIGUSR1) return reopenLogs();
  if (signal != SIGHUP) return onStopSignal(signal);
  spdlog::info("SIGHUP: reload");
  reload();
}

void Master::onStopSignal(int signal) {
  const Clock::time_point now = Clock::now();
  if (now - stopAsked_ < kOneStop) return;
  stopAsked_ = now;
  spdlog::info("SIG{}: {}", ::sigabbrev_np(signal),
               supervisor_.stopping()
                   ? "ending all workers now"
                   : "stopping; workers finish what they have begun: " + underWay());
  stop();
}

/// Whom a stop waits for, as the workers count them.
std::string Master::underWay() const {
  const auto count = [](std::int64_t n, const char* one) {
    return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
  };
  const std::int64_t requests =
      shared_->total(Gauge::kExchanges) + shared_->total(Gauge::kProgramRequests);
  const std::int64_t silent =
      std::max<std::int64_t>(shared_->total(Gauge::kOpenConnections) - requests, 0);
  std::vector<std::string> waitedFor;
  if (requests > 0) waitedFor.push_back(count(requests, "request") + ", uploads included");
  if (silent > 0) waitedFor.push_back(count(silent, "client") + " yet to ask");
  if (waitedFor.empty()) return "nothing";
  const std::chrono::duration<double> most = current().config.server.drainTimeout;
  return fmt::format("{}; for {:.3g} s at most, another signal ends them at once",
                     fmt::join(waitedFor, " and "), most.count());
}

void Master::reload() {
  readConfiguration_ = true;
  renew();
}

void Master::renew() { perform(supervisor_.reload(Clock::now())); }

Result<void> Master::restartWorkers(std::optional<std::uint32_t> number) {
  auto actions = supervisor_.restartWorkers(number, Clock::now());
  if (!actions) return actions.error();
  perform(std::move(*actions));
  return {};
}

void Master::changeLogLevel(LogLevel level) {
  logLevel_ = level;
  setLogLevel(level);
  for (auto& [key, process] : processes_) {
    static_cast<void>(process->worker.channel.send(ChannelMessage::kLogLevel, nameOf(level)));
  }
}

/// Closes the master's listening sockets. Workers still accept clients that are connected already;
/// later ones are refused as soon as the workers have closed the sockets as well, long before the
/// last worker has drained.
void Master::stop() {
  service_->stopping("Stopping");
  page_->stop();
  hurry_ = supervisor_.stopping();
  if (hurry_) launchers_->hurry();
  Actions actions = supervisor_.stop(Clock::now());
  for (const auto& [number, generation] : generations_) {
    letNobodyElseIn(*generation, ListenerSet());
    generation->listeners = ListenerSet();
  }
  perform(std::move(actions));
}

/// Filters SYNs (refuseNewcomers) on the sockets of `generation` that are not in `kept`. Sockets
/// from systemd are left alone: the clients in their queue are served by the next start.
void Master::letNobodyElseIn(const Generation& generation, const ListenerSet& kept) const {
  std::set<int> others;
  for (const InheritedSocket& socket : inherited_) others.insert(socket.fd->get());
  for (const ListenerSocket& socket : kept.sockets()) others.insert(socket.fd);
  for (const ListenerSocket& socket : generation.listeners.sockets()) {
    if (others.contains(socket.fd)) continue;
    if (const auto refused = refuseNewcomers(socket.fd); !refused) {
      // Only root may: a person's own server that stops at Ctrl-C need not worry its owner.
      const bool usual = refused.error().code == ErrorCode::kPermission && ::geteuid() != 0;
      spdlog::log(usual ? spdlog::level::debug : spdlog::level::warn,
                  "clients that connect to port {} just now may be cut off: {}", socket.port,
                  refused.error().message);
    }
  }
}

/// SIGUSR1, after a rotation: the master opens the new files, since workers may not, and sends them
/// the descriptors.
void Master::reopenLogs() {
  for (auto& [number, generation] : generations_) reopenLog(*generation);
  spdlog::info("SIGUSR1: logs were reopened");
}

void Master::reopenLog(Generation& generation) {
  const std::vector<LogPlace> places = logPlaces(generation.config);
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!isLogFile(places[i].target)) continue;
    auto opened = openLogTarget(places[i].target);
    if (!opened) {
      spdlog::warn("the old log stays in use: {}", opened.error().message);
      continue;
    }
    generation.logs[i] = std::move(*opened);
    handOver(generation, i);
  }
  if (generation.number != loggedBy_ || !isLogFile(places.front().target)) return;
  if (auto own = openLogTarget(places.front().target)) changeLogTarget(0, std::move(*own));
}

/// Sends a log that was opened anew to the generation's workers.
void Master::handOver(const Generation& generation, std::size_t place) {
  for (auto& [key, process] : processes_) {
    if (key.generation != generation.number) continue;
    const auto sent = process->worker.channel.send(ChannelMessage::kNewLog, std::to_string(place),
                                                   generation.logs[place].get());
    if (sent) continue;
    spdlog::warn("worker {} writes on into the old log: {}", key.number, sent.error().message);
  }
}

void Master::onChannel(Process& process) {
  using Kind = WorkerChannel::Received::Kind;
  // A few at a time: a worker that floods its channel does not hold up the others.
  for (int i = 0; i < 4; ++i) {
    const auto received = process.worker.channel.receive();
    if (received.kind == Kind::kNothing) return;
    onMessage(process, received);
    if (received.kind != Kind::kMessage) return process.spoke.stop();
  }
}

void Master::onMessage(Process& process, const WorkerChannel::Received& received) {
  using Kind = WorkerChannel::Received::Kind;
  const Clock::time_point now = Clock::now();
  if (received.kind == Kind::kPeerGone) {
    perform(supervisor_.workerChannelClosed(process.key, now));
  } else if (received.kind == Kind::kMessage && received.message == ChannelMessage::kReady) {
    perform(supervisor_.workerReady(process.key, now));
  } else if (received.kind == Kind::kMessage && received.message == ChannelMessage::kRefused) {
    perform(supervisor_.workerRefused(process.key, received.text, false, now));
  } else if (received.kind == Kind::kMessage && received.message == ChannelMessage::kHindered) {
    perform(supervisor_.workerRefused(process.key, received.text, true, now));
  } else if (received.kind == Kind::kMessage && received.message == ChannelMessage::kClosed) {
    perform(supervisor_.workerClosed(process.key, now));
  } else if (received.kind == Kind::kMessage && received.message == ChannelMessage::kStorage) {
    process.storageTrouble = received.text;
    storageTrouble_ = received.text;
  } else if (received.kind == Kind::kMessage && received.message == ChannelMessage::kRoot &&
             noteRoot(process, received.text)) {
    return;
  } else {
    perform(supervisor_.workerMisbehaved(process.key, "sent an invalid message", now));
  }
}

/// False: nonsense.
bool Master::noteRoot(Process& process, std::string_view text) const {
  const Generation* generation = generationOf(process.key.generation);
  auto report = RootReport::decode(text);
  if (!report || generation == nullptr || report->index >= generation->places.size()) return false;
  process.roots[report->index] = std::move(report->presence);
  return true;
}

/// What the generation that serves cannot serve, as its workers see it.
std::vector<ServedPlace> Master::placesAway() const {
  const Generation& generation = current();
  std::vector<const Process*> ready;
  for (const WorkerView& view : supervisor_.workers()) {
    const Process* process = processOf(view.key);
    if (process != nullptr && view.state == WorkerState::kReady &&
        generationOf(view.key.generation) == &generation) {
      ready.push_back(process);
    }
  }
  std::vector<ServedPlace> away;
  for (std::size_t i = 0; i < generation.places.size(); ++i) {
    const ServedPlace& place = generation.places[i];
    Presence seen = ready.empty() ? place.presence : Presence{};
    for (const Process* process : ready) {
      const auto told = process->roots.find(i);
      const Presence& its = told == process->roots.end() ? place.presence : told->second;
      if (its.kind > seen.kind) seen = its;
    }
    if (seen.kind != Presence::Kind::kHere) away.push_back({place.path, std::move(seen)});
  }
  return away;
}

/// A worker's sandbox is as old as the worker: where a root has come since, out of its reach, all
/// are replaced, one by one; ever more rarely while that does not help, such as where something
/// else than the sandbox forbids the opening.
void Master::followRoots() {
  const auto away = placesAway();
  const auto beyond = std::ranges::find_if(away, [](const ServedPlace& place) {
    return place.presence.kind == Presence::Kind::kBeyond;
  });
  const Clock::time_point now = Clock::now();
  if (beyond == away.end()) followPause_ = kLeastFollowPause;
  if (beyond == away.end() || now < nextFollowing_) return;
  auto actions = supervisor_.restartWorkers(std::nullopt, now);
  if (!actions) return;  // something else is under way: the next look is in a second
  nextFollowing_ = now + followPause_;
  followPause_ = std::min(2 * followPause_, kMostFollowPause);
  spdlog::info("workers are replaced, one by one: {} is there, and their sandbox is older",
               printable(beyond->path.string()));
  perform(std::move(*actions));
}

/// An event loop that hangs is visible only as a heartbeat counter that stops.
void Master::checkWorkers() {
  std::vector<WorkerKey> hung;
  std::vector<WorkerKey> liars;
  std::uint64_t mostPlausible = 0;
  for (const auto& [number, generation] : generations_) {
    mostPlausible =
        std::max<std::uint64_t>(mostPlausible, 2 * generation->config.limits.connections);
  }
  for (const WorkerView& view : supervisor_.workers()) {
    const auto found = processes_.find(view.key);
    if (found == processes_.end() || view.state == WorkerState::kStarting) continue;
    Process& process = *found->second;
    const std::uint64_t beat =
        shared_->slot(process.sharedSlot).heartbeat.load(std::memory_order_relaxed);
    process.missedBeats = beat == process.heartbeat ? process.missedBeats + 1 : 0;
    process.heartbeat = beat;
    if (process.missedBeats >= kMostMissedBeats) hung.push_back(view.key);
    if (!shared_->isPlausible(process.sharedSlot, mostPlausible)) liars.push_back(view.key);
  }
  for (const WorkerKey key : liars) {
    perform(supervisor_.workerMisbehaved(
        key, "counts more connections than a worker can have: it may have been taken over",
        Clock::now()));
  }
  for (const WorkerKey key : hung) {
    perform(supervisor_.workerMisbehaved(
        key, fmt::format("has not moved for {} s", kMostMissedBeats), Clock::now()));
  }
  if (!supervisor_.stopping()) desk_->keepOpen();
  page_->look();
  mendListeners();
  followRoots();
  liveness_->setAfter(kLivenessInterval);
}

/// A socket that two generations share is reported once: the second look finds it mended.
void Master::mendListeners() {
  for (const auto& [number, generation] : generations_) {
    for (const ListenerSet::Listener& listener : generation->listeners.listeners()) {
      for (const auto& socket : listener.sockets) {
        const auto mended = socket->mend();
        const std::string where =
            ListenAddress{listener.address.host, localPort(socket->get())}.text();
        if (!mended && deadListeners_.insert(socket->get()).second) {
          spdlog::error(
              "nobody can connect to {} any more: {}; restart the server, or the socket unit where "
              "systemd holds the socket",
              where, mended.error().message);
        } else if (mended && !mended->empty()) {
          spdlog::error(
              "the listener at {} was mended: {}, which no worker does by itself: one may have "
              "been taken over",
              where, *mended);
        }
        if (mended) deadListeners_.erase(socket->get());
      }
    }
  }
}

/// Those that a start and a reload warn of, as they are by now. When to look is decided by time
/// that has passed (Clock), so a clock that is set neither floods nor silences the log.
void Master::lookAtCertificates() {
  logWarnings(certificateWarnings(*current().plan, std::chrono::system_clock::now()));
  certificates_->setAfter(hooks_.certificateLooks);
}

/// tls.watch.
void Master::lookForRenewed() {
  const Generation& generation = current();
  const OptionalDuration& pause = generation.config.tls.watch;
  if (!pause || supervisor_.stopping()) return;
  watchTimer_->setAfter(*pause);
  const auto begun = looks_->run(
      [this] {
        const Generation& mine = current();
        return watch_.look(servedCertificates(*mine.plan), mine.config.server.stateDir);
      },
      [this, number = generation.number](const Result<std::string>& found) {
        if (current().number == number && !supervisor_.stopping()) onLook(found);
      });
  if (!begun) onLook(begun.error());
}

void Master::onLook(const Result<std::string>& found) {
  const std::string trouble = found ? "" : found.error().message;
  if (trouble != std::exchange(lookTrouble_, trouble) && !found) {
    spdlog::warn("changed certificates are not noticed: {}", trouble);
  }
  if (!found) return;
  const auto outcome = watch_.judge(*found, servedCertificates(*current().plan));
  for (const std::string& warning : outcome.warnings) spdlog::warn("{}", warning);
  for (const std::string& news : outcome.news) spdlog::info("{}", news);
  const OptionalDuration& pause = current().config.tls.watch;
  if (outcome.again && pause) watchTimer_->setAfter(std::min<Clock::duration>(*pause, kWatchPause));
  if (outcome.renew) renew();
}

/// Whoever has pinned a key (trust on first use) is warned of the new one by his client, and asks.
void Master::noteKeys(const Generation& serving) {
  std::map<std::string, std::string> keys;
  for (const ServedCertificate& each : servedCertificates(*serving.plan)) {
    const std::string key = publicKeyFingerprint(each.leaf);
    for (const std::string& host : each.hosts) {
      keys.emplace(host, key);
      const auto before = publicKeys_.find(host);
      if (before == publicKeys_.end() || before->second == key) continue;
      spdlog::warn(
          "{} has another public key: clients that remember the old one warn their users, who may "
          "want to compare; SHA-256 of the public key, old: {}, new: {}",
          host, before->second, key);
    }
  }
  publicKeys_ = std::move(keys);
}

LauncherHooks Master::launcherHooks() {
  return {.workers =
              [this](std::uint64_t generation) {
                std::vector<std::int64_t> ids;
                for (const auto& [key, process] : processes_) {
                  if (key.generation == generation) ids.push_back(process->id);
                }
                return ids;
              },
          .handOver =
              [this](std::int64_t worker, std::uint32_t launcher, const UniqueFd& socket) {
                Process* process = processOf(worker);
                if (process == nullptr) return;
                const auto sent = process->worker.channel.send(
                    ChannelMessage::kLauncher, std::to_string(launcher), socket.get());
                if (!sent) spdlog::warn("a worker has no launcher: {}", sent.error().message);
              },
          .lied =
              [this](std::uint64_t generation, std::int64_t worker, const std::string& what) {
                const Process* process = processOf(worker);
                if (process == nullptr || process->key.generation != generation) return;
                perform(supervisor_.workerMisbehaved(
                    process->key, "has told its launcher what no worker does (" + what + ")",
                    Clock::now()));
              }};
}

void Master::beginLaunchers(const Generation& generation) {
  launchers_->begin(generation.number, generation.launchers,
                    generation.config.server.stateDir / kSpoolFolder);
}

Master::Process* Master::processOf(std::int64_t worker) const {
  const auto found = std::ranges::find_if(
      processes_, [worker](const auto& each) { return each.second->id == worker; });
  return found == processes_.end() ? nullptr : found->second.get();
}

Master::Process* Master::processOf(WorkerKey key) const {
  const auto found = processes_.find(key);
  return found == processes_.end() ? nullptr : found->second.get();
}

Generation* Master::generationOf(std::uint64_t number) const {
  const auto found = generations_.find(number);
  return found == generations_.end() ? nullptr : found->second.get();
}

void Master::onEnded(WorkerKey key) {
  const auto found = processes_.find(key);
  if (found == processes_.end()) return;
  onChannel(*found->second);  // its last messages may still be unread
  const ExitCause cause = collectWorker(found->second->worker);
  const std::size_t slot = found->second->sharedSlot;
  const std::int64_t id = found->second->id;
  processes_.erase(found);  // before its successor is forked, which would inherit its descriptors
  giveSlotBack(slot);
  perform(supervisor_.workerExited(key, cause, Clock::now()));
  if (!supervisor_.stopping()) uploads_->workerEnded(id);
}

/// Carrying out an action may report events to the supervisor, whose new actions queue behind those
/// that are pending: they may concern workers that the pending ones have yet to fork.
void Master::perform(Actions actions) {
  std::ranges::move(actions, std::back_inserter(pending_));
  if (performing_) return;
  performing_ = true;
  while (!pending_.empty()) {
    const Action action = std::move(pending_.front());
    pending_.pop_front();
    std::visit([this](const auto& each) { act(each); }, action);
  }
  performing_ = false;
  armTick();
}

void Master::act(const SpawnWorker& action) {
  if (auto spawned = spawn(action.worker); !spawned) {
    const ExitCause cause{false, "could not be started: " + spawned.error().message};
    perform(supervisor_.workerExited(action.worker, cause, Clock::now()));
  }
}

void Master::act(const AskToDrain& action) {
  Process* process = processOf(action.worker);
  if (process == nullptr) return;
  const Generation* own = generationOf(action.worker.generation);
  const Generation* serving = generationOf(supervisor_.serving());
  if (own != nullptr && serving != nullptr && own != serving) {
    letNobodyElseIn(*own, serving->listeners);
  }
  // A worker that cannot be asked is killed at its deadline.
  static_cast<void>(process->worker.channel.send(ChannelMessage::kDrain));
}

void Master::act(const KillWorker& action) {
  if (const Process* process = processOf(action.worker)) killProcess(process->worker);
}

/// Starts the rehearsal in a process of its own, so that status, respawns, stop and the watchdog go
/// on.
void Master::act(const BuildGeneration&) {
  renewing_ = !std::exchange(readConfiguration_, false);
  service_->reloading();
  desk_->reloadBegins();
  const auto begun = rehearsals_->run(
      [this] {
        return rehearse([this] { return loadForReload(false); }, current().listeners, keptPlan())
            .encode();
      },
      [this](const Result<std::string>& answer) { onRehearsed(answer); });
  if (!begun) rejectReload(failureOf(begun.error(), EX_OSERR));
}

/// A renewal serves on with a certificate whose files are broken; a reload is refused.
const ServingPlan* Master::keptPlan() const { return renewing_ ? current().plan.get() : nullptr; }

/// state_dir, runtime_dir and [storage] keep their values until a restart; a password file may hold
/// another password.
LoadedConfig Master::loadForReload(bool tell) const {
  if (renewing_) return {current().config, {}};
  const ServerConfig& serving = current().config.server;
  LoadedConfig loaded = hooks_.load();
  ServerConfig& server = loaded.config.server;
  if (tell && server.stateDir != serving.stateDir) {
    spdlog::warn("server.state_dir stays {} until a restart", serving.stateDir.string());
  }
  if (tell && server.runtimeDir != serving.runtimeDir) {
    spdlog::warn("server.runtime_dir stays {} until a restart", serving.runtimeDir.string());
  }
  if (tell && loaded.config.storage != storage_) {
    spdlog::warn("[storage] stays as it was until a restart");
  }
  loaded.config.storage = storage_;
  server.stateDir = serving.stateDir;
  server.runtimeDir = serving.runtimeDir;
  return loaded;
}

void Master::onRehearsed(const Result<std::string>& answer) {
  if (supervisor_.stopping()) return perform(supervisor_.generationRejected(Clock::now()));
  const auto rehearsal = answer ? Rehearsal::decode(*answer) : Result<Rehearsal>(answer.error());
  if (!rehearsal) return rejectReload(failureOf(rehearsal.error(), EX_SOFTWARE));
  for (const auto& [level, text] : rehearsal->log) {
    spdlog::log(spdlog::level::from_str(level), "{}", printable(text));
  }
  if (!rehearsal->complaints.empty()) return rejectReload(failureOf(rehearsal->complaints));
  LoadedConfig loaded = loadForReload(true);
  if (!loaded.complaints.empty()) return rejectReload(failureOf(loaded.complaints));
  const auto level = spdlog::default_logger()->level();
  spdlog::default_logger()->set_level(spdlog::level::off);  // the rehearsal has said it all
  auto built = buildGeneration(newest_ + 1, loaded.config, inherited_, current().listeners,
                               &rehearsal->names, keptPlan());
  spdlog::default_logger()->set_level(level);
  if (const auto* failure = std::get_if<Failure>(&built)) return rejectReload(*failure);
  auto& generation = std::get<std::unique_ptr<Generation>>(built);
  const auto workers = generation->workers;
  const auto drainTimeout = generation->config.server.drainTimeout;
  storageTrouble_ = generation->storageTrouble = rehearsal->storageTrouble;
  generation->databaseIsReady = rehearsal->databaseIsReady;
  generation->config.storage.url = rehearsal->databaseUrl;
  generations_[++newest_] = std::move(generation);
  beginLaunchers(*generations_.at(newest_));
  if (!renewing_) logLevel_.reset();
  perform(supervisor_.generationBuilt(newest_, workers, drainTimeout, Clock::now()));
}

void Master::rejectReload(const Failure& failure) {
  for (const std::string& message : failure.messages) spdlog::error("{}", message);
  tellReloadFailed(failure.messages);
  perform(supervisor_.generationRejected(Clock::now()));
}

void Master::act(const GenerationServes& action) {
  const Generation* serving = generationOf(action.generation);
  if (serving == nullptr) return;
  const Generation& generation = *serving;
  if (!std::exchange(announced_, true)) {
    service_->ready(status());
    announce(generation);
  } else {
    if (auto opened = openLog(generation.config.log, "master"); !opened) {
      spdlog::warn("the master's log stays as it was: {}", opened.error().message);
    }
    if (logLevel_) setLogLevel(*logLevel_);
    loggedBy_ = generation.number;
    noteListeners(generation, inherited_);
    noteOpenFiles(generation);
    closeOlderListeners(generation.number);
    desk_->open();  // its group may be another
    noteReady(generation, servedUrls(generation));
    service_->ready(status());
  }
  servePage(generation);
  certificates_->setAfter(hooks_.certificateLooks);
  noteKeys(generation);
  if (renewing_) {
    watch_.startOver();
  } else {
    watch_ = {};  // all of them could be read
  }
  watchTimer_->setAfter(kWatchPause);
  desk_->reloadSucceeded(generation.number, renewing_);
}

void Master::servePage(const Generation& generation) {
  if (supervisor_.stopping()) return;
  page_->serve({generation.listeners.statusSockets(), generation.config.status.token,
                generation.account, generation.config.server.sandbox});
}

/// The URLs are tried by a process of its own: a name server may take its time.
void Master::announce(const Generation& first) {
  std::vector<ServedUrl> urls = servedUrls(first);
  if (!hooks_.tryUrls || !tryThenTell(urls)) tell(first, urls);
}

bool Master::tryThenTell(std::vector<ServedUrl> urls) {
  const auto begun = urlTrial_->run([urls] { return encodeTrial(tryUrls(urls)); },
                                    [this, urls](const Result<std::string>& answer) mutable {
                                      if (answer) noteTrial(*answer, urls);
                                      const Generation* serving =
                                          generationOf(supervisor_.serving());
                                      if (serving != nullptr && !supervisor_.stopping())
                                        tell(*serving, urls);
                                    });
  return begun.ok();
}

void Master::tell(const Generation& first, const std::vector<ServedUrl>& urls) {
  noteReady(first, urls);
  hooks_.ready(first, urls);
}

void Master::tellReloadFailed(std::vector<std::string> complaints) {
  spdlog::error("{} failed: generation {} serves on",
                renewing_ ? "taking up certificates" : "reload", supervisor_.serving());
  watch_.startOver();
  watchTimer_->setAfter(renewing_ ? Clock::duration(kWatchRetry) : kWatchPause);
  service_->ready(status());
  desk_->reloadFailed(std::move(complaints), renewing_);
}

/// No worker accepts on them any more. Closing them refuses clients now, rather than when the last
/// old worker has drained.
void Master::closeOlderListeners(std::uint64_t number) {
  for (const auto& [older, generation] : generations_) {
    if (older < number) generation->listeners = ListenerSet();
  }
}

void Master::act(const GenerationFailed& action) {
  spdlog::error("generation {} came to nothing: {}", action.generation, action.why);
  if (Generation* failed = generationOf(action.generation)) failed->listeners = ListenerSet();
  tellReloadFailed({action.why});
}

/// The last generation is kept: clients of the control socket may still ask about it.
void Master::act(const GenerationGone& action) {
  if (const Generation* gone = generationOf(action.generation)) {
    launchers_->finish(gone->number, gone->config.server.drainTimeout);
  }
  if (generations_.size() > 1) generations_.erase(action.generation);
}

void Master::act(const RestartEnded& action) { desk_->restartEnded(action.failure); }

void Master::act(const Report& action) {
  if (action.problem) {
    spdlog::warn("{}", action.text);
  } else {
    spdlog::info("{}", action.text);
  }
}

/// Scripts whose workers have ended are being stopped by their launchers.
void Master::act(const Leave& action) {
  exitCode_ = action.exitCode;
  spdlog::info("all workers have ended: exit code {}", exitCode_);
  launchers_->finishAll(hurry_ ? Clock::duration() : kLaunchersEnd, [this] {
    desk_->stopped();
    loop_->stop();
  });
}

Result<void> Master::spawn(WorkerKey key) {
  const Generation* known = generationOf(key.generation);
  if (known == nullptr) return Error{ErrorCode::kNotFound, "its generation has gone"};
  const Generation& generation = *known;
  const auto free = takeSlot();
  if (!free) return Error{ErrorCode::kNoSpace, "no slot is left in the shared memory"};
  const std::size_t slot = *free;
  WorkerSetup setup;
  setup.plan = generation.plan.get();
  setup.listeners = generation.listeners.sockets();
  setup.shared = shared_.get();
  setup.sharedSlot = slot;
  setup.id = uploads_->nextWorker();
  setup.workerNumber = key.number;
  setup.workerCount = generation.workers;
  setup.generation = generation.number;
  setup.account = generation.account;
  setup.logLevel = logLevel_;
  for (const UniqueFd& log : generation.logs) setup.logs.push_back(log.get());
  setup.databaseIsReady = generation.databaseIsReady;
  setup.storageTrouble = storageTrouble_;
  setup.launchers = launchers_->connect(generation.number, setup.id);
  const std::int64_t id = setup.id;
  auto spawned = [&] {
    const SharedState::Lending lending(*shared_, slot);
    return hooks_.spawn(std::move(setup), [&] { forgetInChild(generation); });
  }();
  if (!spawned) {
    giveSlotBack(slot);
    return spawned.error();
  }
  auto process = std::make_unique<Process>(
      *loop_, std::move(*spawned), slot,
      [this, key] { loop_->defer([this, key] { onEnded(key); }); },
      [this](Process& speaker) { onChannel(speaker); });
  process->key = key;
  process->storageTrouble = storageTrouble_;
  process->id = id;
  process->before = totalsOf(shared_->slot(slot));
  // Without these watches neither its messages nor its end would be noticed.
  auto watched = process->ended.start(process->worker.pidFd.get(), WatchMode::kRead);
  if (watched) watched = process->spoke.start(process->worker.channel.fd(), WatchMode::kRead);
  spdlog::debug("worker {} of generation {} is process {}", key.number, key.generation,
                process->worker.pid);
  if (!watched) {
    ::kill(process->worker.pid, SIGKILL);
    ::waitpid(process->worker.pid, nullptr, 0);
    giveSlotBack(slot);
    return watched.error();
  }
  processes_[key] = std::move(process);
  return {};
}

/// In a forked child: closes the master's descriptors. The objects are never used or destroyed
/// there. The epoll descriptor goes first: it is shared with the master, whose registrations must
/// stay.
void Master::forgetInChild(const Generation& mine) {
  loop_.reset();
  ::close(signals_->fd());
  ::close(lock_->fd());
  desk_->closeInChild();
  page_->closeInChild();
  launchers_->closeInChild();
  rehearsals_->closeInChild();
  urlTrial_->closeInChild();
  looks_->closeInChild();
  uploads_->closeInChild();
  for (const auto& [key, process] : processes_) {
    ::close(process->worker.pidFd.get());
    ::close(process->worker.channel.fd());
  }
  // A socket that only another generation listens on must close when that one has gone.
  std::set<int> keep;
  for (const ListenerSocket& socket : mine.listeners.sockets()) keep.insert(socket.fd);
  std::set<int> drop;
  for (const auto& [number, generation] : generations_) {
    for (const ListenerSocket& socket : generation->listeners.sockets()) {
      if (!keep.contains(socket.fd)) drop.insert(socket.fd);
    }
    for (const auto& socket : generation->listeners.statusSockets()) drop.insert(socket->get());
  }
  for (const auto& [number, generation] : generations_) {
    if (generation.get() == &mine) continue;
    for (const UniqueFd& log : generation->logs) ::close(log.get());
  }
  for (const int fd : drop) ::close(fd);
}

std::optional<std::size_t> Master::takeSlot() {
  const auto free = std::ranges::find(slotTaken_, false);
  if (free == slotTaken_.end()) return std::nullopt;
  *free = true;
  return static_cast<std::size_t>(free - slotTaken_.begin());
}

/// The gauges of the process end with it, also when it was never watched.
void Master::giveSlotBack(std::size_t slot) {
  shared_->workerGone(slot);
  slotTaken_[slot] = false;
}

void Master::armTick() {
  if (const auto next = supervisor_.nextDeadline()) {
    tick_->setAt(*next);
  } else {
    tick_->cancel();
  }
}

/// The generation that serves; before the first one does, that one.
const Generation& Master::current() const {
  const Generation* serving = generationOf(supervisor_.serving());
  return serving == nullptr ? *generations_.begin()->second : *serving;
}

MasterView Master::view() const {
  MasterView view{.state = supervisor_.stopping()       ? MasterState::kStopping
                           : supervisor_.serving() == 0 ? MasterState::kStarting
                                                        : MasterState::kServing,
                  .serving = supervisor_.serving(),
                  .current = current(),
                  .shared = *shared_,
                  .started = started_,
                  .owner = ::geteuid(),
                  .storageTrouble = storageTrouble_,
                  .away = placesAway(),
                  .certificateTroubles = watch_.troubles()};
  view.launchers = launchers_->launchers();
  if (!lookTrouble_.empty()) view.certificateTroubles.push_back(lookTrouble_);
  for (const auto& [number, generation] : generations_) {
    if (generation->account) view.workerAccounts.push_back(generation->account->uid);
  }
  for (const WorkerView& worker : supervisor_.workers()) {
    std::optional<RunningWorker> running;
    if (const Process* process = processOf(worker.key)) {
      running =
          RunningWorker{process->worker.pid, process->since, process->sharedSlot, process->before};
      if (!process->storageTrouble.empty()) view.storageTrouble = process->storageTrouble;
    }
    view.workers.push_back({worker, running});
  }
  return view;
}

std::string Master::status() const {
  const Generation* serving = generationOf(supervisor_.serving());
  if (serving == nullptr) return "Starting";
  return fmt::format("Generation {}, {}", serving->number, countWorkers(serving->workers));
}

}  // namespace egalaxyd
