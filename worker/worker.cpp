#include "worker/worker.h"

#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include <algorithm>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include "common/base/memory_use.h"
#include "common/base/number.h"
#include "common/config/config_loader.h"
#include "common/loop/signal_source.h"
#include "common/system/log.h"
#include "common/wire/media_type.h"
#include "worker/base/lane.h"
#include "worker/base/rare_error.h"
#include "worker/base/storage_lane.h"
#include "worker/connection/server.h"
#include "worker/content_follower.h"
#include "worker/dynamic/programs.h"
#include "worker/expiry_clock.h"
#include "worker/module/site_factory.h"
#include "worker/plan/root_check.h"
#include "worker/plan/sandbox_rules.h"
#include "worker/plan/serving_plan.h"
#include "worker/plugin/plugin_loader.h"
#include "worker/route/pattern_redirects.h"
#include "worker/storage_opener.h"
#include "worker/upload/upload_recovery.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kPoolThreads = 2;
/// More than there may be exchanges: under load, jobs wait and none is refused.
constexpr std::size_t kPoolQueue = 4096;
constexpr auto kTick = std::chrono::seconds(1);
constexpr auto kMemoryInterval = std::chrono::seconds(5);
constexpr auto kExpiryInterval = std::chrono::hours(1);
constexpr std::size_t kExpiryBatch = 500;
/// The peak of exchanges, in all workers together, after which memory is given back.
constexpr std::size_t kTrimAfterExchanges = 64;
constexpr std::size_t kTrimAfterAtLeast = 8;  ///< the least for one worker
/// How long a thread other than the loop's waits before it tries again to allocate memory.
constexpr auto kMemoryPause = std::chrono::milliseconds(10);
constexpr std::int64_t kMostLaunchers = 1000;
constexpr auto kLeaveTick = std::chrono::milliseconds(10);
/// How long a start waits for this host's files to be what the database has.
constexpr auto kContentPatience = std::chrono::seconds(30);
/// One that compares files for longer says that it is ready, though it does not accept yet: the
/// master would take it for stuck.
constexpr auto kReadyPatience = std::chrono::seconds(5);
constexpr auto kContentTick = std::chrono::milliseconds(10);

/// When memory runs out, the loop's thread throws and loses one connection. Other threads, whose
/// work belongs to many, wait for the memory that this frees. If the loop waits for one of them,
/// its heartbeat stops.
void letThreadsWaitForMemory() {
  static const std::thread::id loopThread = std::this_thread::get_id();
  std::set_new_handler([] {
    if (std::this_thread::get_id() == loopThread) throw std::bad_alloc();
    std::this_thread::sleep_for(kMemoryPause);
  });
}

int refuse(WorkerChannel& channel, const Error& error) {
  spdlog::error("cannot serve: {}", error.message);
  const auto kind = mayPass(error.code) ? ChannelMessage::kHindered : ChannelMessage::kRefused;
  static_cast<void>(channel.send(kind, error.message));
  return kWorkerExitRefused;
}

/// One worker process: its loop and all that runs on it.
class Worker {
 public:
  Worker(WorkerSetup setup, MemoryUse memory)
      : setup_(std::move(setup)),
        memory_(std::move(memory)),
        pool_(loop_, {"pool", kPoolThreads, kPoolQueue}),
        turn_(setup_.shared->writers(), setup_.sharedSlot),
        sight_(setup_.shared->database()),
        storage_(loop_, storageOpener(setup_, sight_), storageOptions()),
        users_(storage_),
        teller_(makeTeller(loop_, setup_, sight_)),
        uploads_(loop_, tasks_, storage_, folders_, setup_.shared->slot(setup_.sharedSlot),
                 setup_.plan->config.log.clientIp, setup_.id, setup_.plan->config.server.stateDir,
                 teller_.get()),
        programs_(loop_, *setup_.shared, setup_.sharedSlot, setup_.plan->config, setup_.id,
                  std::move(setup_.launchers)),
        info_{.worker = setup_.workerNumber,
              .workers = setup_.workerCount,
              .generation = setup_.generation,
              .workerStarted = std::chrono::system_clock::now(),
              .shared = *setup_.shared,
              .limits = setup_.plan->config.limits},
        services_{.loop = loop_,
                  .tasks = tasks_,
                  .pool = pool_,
                  .users = users_,
                  .uploads = uploads_,
                  .programs = programs_,
                  .info = info_},
        channelWatch_(loop_, [this](IoEvents) { onChannel(); }),
        drainTimeout_(loop_, [this] { onDrainTimeout(); }),
        tick_(loop_, [this] { onTick(); }),
        serveWait_(loop_, [this] { serveLater(); }) {
    for (const ServedPlace& place : servedPlaces(*setup_.plan)) told_.push_back(place.presence);
    // Only worker 0 forgets what is old, and follows the database.
    if (setup_.workerNumber != 0) return;
    expiry_.emplace();
    follower_ = makeFollower(setup_, sight_);
  }

  int run() {
    loop_.containExceptions([this](std::string_view what) {
      errors_.log({ErrorCode::kNoSpace, "an exception ended a step: " + std::string(what)});
    });
    letThreadsWaitForMemory();
    server_.emplace(setup_, services_, storage_);
    auto started = channelWatch_.start(setup_.channel.fd(), WatchMode::kRead);
    if (started) started = serve();
    if (!started) return refuse(setup_.channel, started.error());
    tick_.setAfter(kTick);
    lookAtRoots();
    loop_.run();
    return audit();
  }

 private:
  /// Of an engine that several hosts share, jobs touch nothing but the database, and it decides who
  /// writes.
  StorageLaneOptions storageOptions() {
    StorageLaneOptions options;
    options.shared = sharedEngineRules(setup_.plan->config.storage);
    options.wasAway = [this](Clock::duration time) { sight_.wasAway(time); };
    if (options.shared) return options;
    options.beforeCommit = [this] { return folders_.sync(); };
    options.turn = &turn_;
    return options;
  }

  /// Accepts, once this host's files are what the database had at its start: for pages that were
  /// changed meanwhile. Without the database, with what is here.
  Result<void> serve() {
    DatabaseBoard& board = setup_.shared->database();
    if (follower_ && follower_->hasLooked()) board.contentSeen = 1;
    const bool isLate = loop_.now() > begun_ + kContentPatience;
    if (!teller_ || board.contentSeen != 0 || isLate || draining_) {
      auto started = server_->start();
      serving_ = started.ok();
      tellReady();
      return started;
    }
    serveWait_.setAfter(kContentTick);
    return {};
  }

  void serveLater() {
    if (const auto begun = serve(); !begun) errors_.log(begun.error());
  }

  /// With the eyes that this process has got. What is away is known before it is ready, unless a
  /// disk does not answer.
  void lookAtRoots() {
    setup_.plan->roots->look(pool_, setup_.workerNumber == 0, [this] { onLooked(); });
  }

  void onLooked() {
    reportRoots();
    looked_ = true;
    tellReady();
  }

  void tellReady() {
    const bool isDue = serving_ || loop_.now() > begun_ + kReadyPatience;
    if (!ready_ && looked_ && isDue) ready_ = setup_.channel.send(ChannelMessage::kReady).ok();
  }

  void reportRoots() {
    const ServedRoots& roots = *setup_.plan->roots;
    for (std::size_t i = 0; i < roots.count(); ++i) {
      const Presence& presence = roots.presence(i);
      if (presence == told_[i]) continue;
      if (!setup_.channel.send(ChannelMessage::kRoot, RootReport{i, presence}.encode())) return;
      told_[i] = presence;
    }
  }

  void onChannel() {
    using Kind = WorkerChannel::Received::Kind;
    for (;;) {
      auto received = setup_.channel.receive(WorkerChannel::Files::kTake);
      if (received.kind == Kind::kNothing) return;
      if (received.kind != Kind::kMessage) {
        channelWatch_.stop();
        if (!draining_) spdlog::warn("the master is gone: finishing and leaving");
        return drain();
      }
      if (received.message == ChannelMessage::kDrain) drain();
      if (received.message == ChannelMessage::kLogLevel) {
        if (const auto level = parseLogLevel(received.text)) setLogLevel(*level);
      }
      if (received.message == ChannelMessage::kNewLog && received.file) {
        const auto place = parseNumber(received.text, 0, kMostLogs);
        if (place) changeLogTarget(static_cast<std::size_t>(*place), std::move(received.file));
      }
      if (received.message == ChannelMessage::kLauncher && received.file) {
        const auto number = parseNumber(received.text, 0, kMostLaunchers);
        if (number) programs_.connect(static_cast<std::size_t>(*number), std::move(received.file));
      }
    }
  }

  void drain() {
    if (draining_) return;
    draining_ = true;
    serveWait_.cancel();
    if (follower_) follower_->stop();
    drainTimeout_.setAfter(setup_.plan->config.server.drainTimeout);
    server_->drain([this] { static_cast<void>(setup_.channel.send(ChannelMessage::kClosed)); },
                   [this] { leave(); });
  }

  /// Jobs whose clients have left may still be under way.
  void leave() {
    leaving_ = true;
    uploads_.leave();
    const std::size_t pending = pool_.pending() + storage_.pending() + uploads_.pending() +
                                programs_.running() + tasks_.running();
    if (pending == 0) return loop_.stop();
    tick_.setAfter(kLeaveTick);
  }

  void onDrainTimeout() {
    const std::size_t cut = server_->abortAll("drain timeout");
    if (cut > 0) spdlog::warn("drain_timeout is over: {} connections were cut", cut);
    programs_.stopAll();
    storage_.giveUp();
  }

  void onTick() {
    setup_.shared->slot(setup_.sharedSlot).heartbeat.fetch_add(1, std::memory_order_relaxed);
    reportStorage();
    if (leaving_) return leave();
    reportMemory();
    if (!ready_) onLooked();
    lookAtRoots();
    forgetTheOld();
    server_->retryEnds();
    server_->tellRefusals();
    trimAfterStorm();
    if (const std::uint64_t dropped = takeDroppedLogLines(); dropped > 0) {
      setup_.shared->slot(setup_.sharedSlot).add(Counter::kLogLinesDropped, dropped);
    }
    tick_.setAfter(kTick);
  }

  void reportStorage() {
    WorkerSlot& slot = setup_.shared->slot(setup_.sharedSlot);
    slot.set(Gauge::kStorageJobs, storage_.pending());
    slot.set(Gauge::kStorageLanes, storage_.enginesUp());
    if (follower_) {
      setup_.shared->database().contentLag = static_cast<std::int64_t>(follower_->lag());
    }
    std::string trouble = storage_.lastError();
    if (trouble == storageTrouble_) return;
    if (setup_.channel.send(ChannelMessage::kStorage, trouble))
      storageTrouble_ = std::move(trouble);
  }

  void reportMemory() {
    if (loop_.now() < nextMemory_) return;
    nextMemory_ = loop_.now() + kMemoryInterval;
    const std::uint64_t kib = memory_.kib().value_or(0);
    setup_.shared->slot(setup_.sharedSlot).memory.store(kib, std::memory_order_relaxed);
  }

  /// Gives memory back to the kernel when a load peak is over: malloc_trim() takes milliseconds.
  void trimAfterStorm() {
    mostExchanges_ = std::max(mostExchanges_, server_->takeMostExchanges());
    const std::size_t storm = std::max(kTrimAfterExchanges / setup_.workerCount, kTrimAfterAtLeast);
    if (mostExchanges_ < storm || server_->exchanges() > mostExchanges_ / 4) return;
    ::malloc_trim(0);
    mostExchanges_ = 0;
  }

  /// Once an hour, removes metadata of users who have not come for long, and users without data.
  void forgetTheOld() {
    if (!expiry_ || loop_.now() < nextExpiry_) return;
    nextExpiry_ = loop_.now() + kExpiryInterval;
    if (!expiry_->hasBegun()) return beginExpiry();
    const auto sure = expiry_->look(wallNow(), Clock::now());
    if (!sure) {
      return spdlog::warn(
          "the clock was set: no data of users is removed before it has run undisturbed "
          "for an hour");
    }
    const UsersConfig& users = setup_.plan->config.users;
    const auto before = [&](milliseconds ttl) {
      return std::chrono::floor<std::chrono::seconds>(*sure - ttl);
    };
    forgetVersions(*sure);
    if (users.metadataTtl) forgetMetadata(before(*users.metadataTtl));
    if (users.ttl) forgetUsers(before(*users.ttl));
  }

  /// And frees the room of their content, some of it at a time.
  void forgetVersions(WallTime now) {
    storage_.submit(
        [now](Storage& storage) -> Result<std::uint64_t> {
          const auto gone = storage.expireVersions(now);
          if (!gone) return gone;
          const auto swept = storage.sweepContents(now - kUnfinishedContent, kExpiryBatch);
          if (!swept) return swept;
          return *gone + *swept;
        },
        [this, now](Result<std::uint64_t> done) {
          if (done && *done > 0 && !leaving_) forgetVersions(now);
        });
  }

  // A batch at a time, so that other writers wait for no more than one.

  void forgetMetadata(WallTime lastSeen, std::uint64_t before = 0) {
    storage_.submit(
        [lastSeen](Storage& storage) { return storage.expireMetadata(lastSeen, kExpiryBatch); },
        [this, lastSeen, before](Result<std::uint64_t> gone) {
          const std::uint64_t all = before + (gone ? *gone : 0);
          if (gone && *gone == kExpiryBatch && !leaving_) return forgetMetadata(lastSeen, all);
          if (all == 0) return;
          spdlog::info("{} values of users not seen within metadata_ttl were removed", all);
        });
  }

  void forgetUsers(WallTime lastSeen, std::uint64_t before = 0) {
    storage_.submit(
        [lastSeen](Storage& storage) { return storage.expireUsers(lastSeen, kExpiryBatch); },
        [this, lastSeen, before](Result<std::uint64_t> gone) {
          const std::uint64_t all = before + (gone ? *gone : 0);
          if (gone && *gone == kExpiryBatch && !leaving_) return forgetUsers(lastSeen, all);
          if (all > 0) spdlog::info("{} users not seen within users.ttl were removed", all);
        });
  }

  /// The latest time that is on record: a clock that is ahead of it may be wrong.
  void beginExpiry() {
    storage_.submitRead(
        [](Storage& storage) -> Result<WallTime> {
          const auto users = storage.listUsers(1);
          if (!users) return users.error();
          const auto uploads = storage.listUploads({.limit = 1});
          if (!uploads) return uploads.error();
          return std::max(users->empty() ? WallTime() : users->front().lastSeen,
                          uploads->empty() ? WallTime() : uploads->front().time);
        },
        [this](Result<WallTime> latest) {
          if (latest && *latest > WallTime()) expiry_->begin(*latest, wallNow(), Clock::now());
        });
  }

  /// By now everything that a request may hold must have been released. Anything left is a leak,
  /// which tests and the master's log show.
  int audit() {
    server_.reset();
    programs_.close();
    channelWatch_.stop();
    drainTimeout_.cancel();
    tick_.cancel();
    serveWait_.cancel();
    if (loop_.watchCount() + loop_.timerCount() + tasks_.running() == 0) return kWorkerExitDone;
    spdlog::error("left open at the end: {} descriptors, {} deadlines, {} tasks",
                  loop_.watchCount(), loop_.timerCount(), tasks_.running());
    return kWorkerExitLeak;
  }

  WorkerSetup setup_;
  const MemoryUse memory_;
  Clock::time_point nextMemory_{};
  EventLoop loop_;
  Tasks tasks_;
  Lane pool_;
  FolderSync folders_;  ///< used by the storage lane
  Turn turn_;           ///< used by the storage lane
  SharedSight sight_;   ///< used by the storage threads
  StorageLane storage_;
  Users users_;
  const std::unique_ptr<ChangeTeller> teller_;  ///< nullptr: files hold the content of uploads
  Uploads uploads_;
  Programs programs_;
  const ServerInfo info_;
  Services services_;
  Watch channelWatch_;
  Timer drainTimeout_;
  Timer tick_;
  Timer serveWait_;
  const Clock::time_point begun_ = Clock::now();
  std::unique_ptr<Follower> follower_;  ///< worker 0's; nullptr: files hold the content of uploads
  std::optional<Server> server_;
  RareError errors_;
  std::string storageTrouble_ = setup_.storageTrouble;  ///< as it was last sent to the master
  std::vector<Presence> told_;                          ///< of each root, as the master knows it
  bool ready_ = false;
  bool draining_ = false;
  bool serving_ = false;
  bool looked_ = false;  ///< at the roots
  bool leaving_ = false;
  std::optional<ExpiryClock> expiry_;
  Clock::time_point nextExpiry_{};
  std::size_t mostExchanges_ = 0;  ///< since memory was last given back
};

Result<std::string> confine(const Config& config, const std::optional<Account>& account) {
  if (auto dropped = dropPrivileges(account); !dropped) return dropped.error();
  return enterSandbox(config.server.sandbox, workerSandbox(config));
}

HostMap<std::shared_ptr<PatternRedirects>> redirectsOf(const Config& config) {
  HostMap<std::shared_ptr<PatternRedirects>> hosts;
  const auto hasAny = [](const SiteConfig& site) { return !site.redirects.empty(); };
  if (!std::ranges::any_of(config.sites, hasAny)) return hosts;
  for (const SiteConfig& site : config.sites) {
    const auto redirects =
        hasAny(site) ? std::make_shared<PatternRedirects>(site.redirects) : nullptr;
    hosts.add(site.host, redirects);
    for (const std::string& alias : site.aliases) hosts.add(alias, redirects);
  }
  return hosts;
}

}  // namespace

void ServingPlanDelete::operator()(ServingPlan* plan) const { delete plan; }

ServingPlanPtr buildServingPlan(const Config& config, PlanPurpose purpose, Findings& findings,
                                const ServingPlan* kept) {
  readMediaTypes();
  ServingPlanPtr plan(new ServingPlan{.config = config});
  plan->tls = TlsContexts::build(config, purpose == PlanPurpose::kServe, findings,
                                 kept == nullptr ? nullptr : kept->tls.get());
  plan->roots = std::make_shared<ServedRoots>();
  auto sites = buildSites(config, *plan->roots, findings);
  plan->redirects = redirectsOf(config);
  checkServerFiles(config, findings);
  checkUploadMarks(config, findings);
  if (config.router.module.empty()) {
    plan->router = std::make_shared<const SiteMap>(std::move(sites));
  } else if (auto loaded = loadRouter(config.router.module)) {
    plan->router = std::move(*loaded);
  } else {
    findings.complaints.push_back(complaintOf(config.where("router.module"), loaded.error()));
  }
  if (!config.rateLimit.module.empty()) {
    if (auto loaded = loadRateLimiter(config.rateLimit.module)) {
      plan->rateLimiter = std::move(*loaded);
    } else {
      findings.complaints.push_back(complaintOf(config.where("rate_limit.module"), loaded.error()));
    }
  }
  return plan;
}

void keepFromSites(const std::string& name, const std::filesystem::path& file) {
  addServerFile(name, file);
}

Complaints lookAtRoots(const Config& config) { return rootsOutOfReach(config); }

std::vector<ServedPlace> servedPlaces(const ServingPlan& plan) {
  std::vector<ServedPlace> places;
  for (std::size_t i = 0; i < plan.roots->count(); ++i) {
    places.push_back({plan.roots->path(i), plan.roots->presence(i)});
  }
  return places;
}

std::vector<ServedCertificate> servedCertificates(const ServingPlan& plan) {
  return plan.tls->served();
}

Complaints certificateWarnings(const ServingPlan& plan, std::chrono::system_clock::time_point now) {
  return plan.tls->warnings(now);
}

Result<std::string> recoverInChild(const Config& config, const std::optional<Account>& account,
                                   const DeadWorkers& dead) {
  // A shared database takes record and content in one commit.
  if (config.storage.engine != StorageKind::kSqlite) return std::string();
  if (auto confined = confine(config, account); !confined) return confined.error();
  const auto done = recoverUploads(config, dead);
  if (!done) return done.error();
  if (done->left > 0) {
    return Error{ErrorCode::kIo,
                 fmt::format("{} uploads stay pending: {}", done->left, logQuote(done->why))};
  }
  if (done->removed + done->settled + done->dropped == 0) return std::string();
  return fmt::format("{} unfinished files removed, {} uploads found complete, {} not",
                     done->removed, done->settled, done->dropped);
}

Result<std::int64_t> restoreInChild(const Config& config, const std::optional<Account>& account,
                                    std::int64_t upload, std::int64_t worker) {
  const auto shared = SharedState::create();  // the sandbox lets nobody make any
  if (!shared) return shared.error();
  if (auto confined = confine(config, account); !confined) return confined.error();
  return restoreUpload(config, **shared, upload, worker);
}

Result<ContentPiece> contentInChild(const Config& config, const std::optional<Account>& account,
                                    std::int64_t upload, WhichContent which, std::uint64_t piece) {
  if (auto confined = confine(config, account); !confined) return confined.error();
  return uploadContent(config, upload, which, piece);
}

int runWorker(WorkerSetup setup) {
  resetSignals();
  ::prctl(PR_SET_NAME, "egalaxyd-worker");  // as ps shows it
  const std::string name = "worker " + std::to_string(setup.workerNumber);
  std::vector<UniqueFd> logs;
  for (const int fd : setup.logs) logs.emplace_back(fd);
  useLogs(setup.plan->config, name, std::move(logs));
  if (setup.logLevel) setLogLevel(*setup.logLevel);
  FaultRing& faults = setup.shared->slot(setup.sharedSlot).faults;
  reportFaults([&faults](std::int64_t time, bool isError, std::string_view text) {
    faults.add(time, isError, text);
  });
  MemoryUse memory;
  const auto confined = confine(setup.plan->config, setup.account);
  int code = kWorkerExitRefused;
  if (!confined) {
    code = refuse(setup.channel, confined.error());
  } else {
    startLogWriter();
    spdlog::debug("sandbox: {}", confined->empty() ? "off" : *confined);
    code = Worker(std::move(setup), std::move(memory)).run();
  }
  closeLog();
  return code;
}

}  // namespace egalaxyd
