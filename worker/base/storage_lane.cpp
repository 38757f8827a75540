#include "worker/base/storage_lane.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace egalaxyd {
namespace {

constexpr auto kComplaintGap = std::chrono::seconds(30);
constexpr unsigned kQuickRepeats = 5;
constexpr int kFirstPause = 10;  ///< ms, twice as long each time

/// The storage's trouble is not the job's fault: never kInvalid.
Error asSeenByJobs(const Error& error) {
  const bool isTold = error.code == ErrorCode::kBusy || error.code == ErrorCode::kUnknown;
  return {isTold ? error.code : ErrorCode::kIo, error.message};
}

void merge(Visit& into, const Visit& visit) {
  into.count += visit.count;
  into.last = std::max(into.last, visit.last);
  into.admitted = into.admitted || visit.admitted;
  into.claimed = visit.claimed;
}

/// Takes away what does not go with the first of `jobs`.
template <class IsAlone>
Jobs takeRest(Jobs& jobs, IsAlone isAlone) {
  auto rest = std::find_if(jobs.begin(), jobs.end(), isAlone);
  if (rest != jobs.end() && rest == jobs.begin()) ++rest;
  Jobs taken(std::make_move_iterator(rest), std::make_move_iterator(jobs.end()));
  jobs.erase(rest, jobs.end());
  return taken;
}

}  // namespace

StorageLane::StorageLane(EventLoop& loop, Open open, StorageLaneOptions options)
    : open_(std::move(open)),
      options_(std::move(options)),
      queue_(loop, "storage", options_.queueLimit) {
  const std::size_t threads = options_.shared ? options_.shared->threads : 1;
  {
    const MutexLock lock(mutex_);
    troubles_.resize(threads);
  }
  for (std::size_t i = 0; i < threads; ++i) engines_.emplace_back(i);
  try {
    for (Engine& engine : engines_) {
      threads_.push_back(startLaneThread("storage", [this, &engine] { runThread(engine); }));
    }
  } catch (...) {  // a thread could not be started: the running ones stop, and are joined next
    queue_.stopAndForget();
    throw;
  }
}

StorageLane::~StorageLane() {
  givenUp_ = true;
  queue_.stop();
}

void StorageLane::add(Access access, std::unique_ptr<Job> job, StorageKeys keys) {
  const Clock::time_point until =
      options_.shared ? Clock::now() + options_.shared->patience : Clock::time_point();
  queue_.add(std::make_unique<Request>(access, std::move(job), std::move(keys), until));
}

void StorageLane::recordVisit(Visit visit) {
  visit.last = wallNow();
  {
    const MutexLock lock(mutex_);
    const bool first = visits_.empty();
    if (first) visitsDue_ = Clock::now() + options_.visitDelay;
    if (auto known = visits_.find(visit.certificate); known != visits_.end()) {
      merge(known->second, visit);
    } else if (visits_.size() < options_.visitLimit) {
      std::string certificate = visit.certificate;
      visits_.emplace(std::move(certificate), std::move(visit));
    }
    if (!first) return;
  }
  queue_.wake();
}

void StorageLane::giveUp() {
  givenUp_ = true;
  queue_.wake();
}

std::string StorageLane::lastError() const {
  const MutexLock lock(mutex_);
  for (const auto& trouble : troubles_) {
    if (trouble) return trouble->message;
  }
  return "";
}

std::size_t StorageLane::enginesUp() const {
  const MutexLock lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(troubles_, [](const auto& trouble) { return !trouble; }));
}

void StorageLane::runThread(Engine& engine) {
  openStorage(engine);
  for (bool last = false; !last;) {
    if (engine.nextGroup > Clock::now()) queue_.pause(engine.nextGroup);
    // Readers that arrived during the last group of writes are in `readers` already.
    last = !queue_.wait(engine.readers.empty() ? nextDuty(engine) : Clock::time_point());
    openStorage(engine);
    sortJobs(engine, last);
    if (!engine.readers.empty()) runGroup(engine, Access::kRead);
    const bool due = visitsAreDue(last);
    const bool apart = engine.storage && engine.storage->countsVisitsApart();
    const bool looks = !last && looksAgain(engine);
    if (!engine.writers.empty() || (due && !apart) || looks) runGroup(engine, Access::kWrite);
    if (due && apart) writeVisits(engine);
    if (!last && lookIsDue(engine)) look(engine);
  }
}

/// Where threads share the jobs, one whose engine was away may get none that would show that it is
/// there again: an empty group does.
bool StorageLane::looksAgain(const Engine& engine) const {
  return options_.shared && troubleOf(engine);
}

/// The time of the next work that no job brings: to open the storage, to look for it, or to write
/// visits.
Clock::time_point StorageLane::nextDuty(const Engine& engine) const {
  if (looksAgain(engine)) return engine.nextGroup;
  const MutexLock lock(mutex_);
  const Clock::time_point idle = options_.shared ? engine.nextLook : Clock::time_point::max();
  const Clock::time_point next = engine.storage ? idle : engine.nextOpen;
  return visits_.empty() ? next : std::min(next, visitsDue_);
}

bool StorageLane::lookIsDue(const Engine& engine) const {
  return options_.shared && engine.storage && Clock::now() >= engine.nextLook;
}

bool StorageLane::visitsAreDue(bool last) const {
  const MutexLock lock(mutex_);
  return !visits_.empty() && (last || Clock::now() >= visitsDue_);
}

/// `all`: no later group would take what is left.
void StorageLane::sortJobs(Engine& engine, bool all) {
  constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();
  const bool isBounded = options_.shared && !all;
  Jobs jobs = queue_.takeAll(isBounded ? options_.shared->groupLimit : kAll);
  const auto isAlone = [](const auto& job) { return static_cast<const Request&>(*job).alone; };
  if (isBounded) queue_.putBack(takeRest(jobs, isAlone));
  for (auto& job : jobs) {
    const bool reads = static_cast<const Request&>(*job).access == Access::kRead;
    (reads ? engine.readers : engine.writers).push_back(std::move(job));
  }
}

/// Jobs that arrive during the wait for another process's lock share the commit. If the lock is not
/// obtained, only the jobs from before fail; later ones stay queued and get their own wait.
void StorageLane::runGroup(Engine& engine, Access access) {
  const bool writes = access == Access::kWrite;
  Jobs& waiting = writes ? engine.writers : engine.readers;
  Jobs jobs = std::exchange(waiting, {});
  std::unique_lock<Turn> turn;
  if (writes && options_.turn != nullptr) {
    turn = std::unique_lock(*options_.turn, options_.turnPatience);
  }
  Result<void> done = begin(engine, access, jobs);
  if (done) {
    if (!options_.shared) {
      sortJobs(engine, true);
      for (auto& job : std::exchange(waiting, {})) jobs.push_back(std::move(job));
    }
    done = finish(engine, access, jobs);
  } else if (writes) {
    putBack({});
  }
  if (turn) turn.unlock();
  if (writes && options_.shared) engine.nextLook = Clock::now() + options_.shared->lookEvery;
  if (engine.storage) note(engine, engine.storage->trouble(), access);
  if (mayRunAgain(done)) return runAgainLater(engine, std::move(jobs), done.error());
  engine.repeats = 0;
  if (const auto since = std::exchange(engine.awaySince, std::nullopt); since && done) {
    options_.wasAway(Clock::now() - *since);
  }
  if (!done && options_.shared) engine.nextGroup = Clock::now() + options_.shared->retryDelay;
  for (const auto& job : jobs) done ? job->settle() : job->fail(asSeenByJobs(done.error()));
  queue_.deliver(std::move(jobs));
}

Result<void> StorageLane::begin(Engine& engine, Access access, const Jobs& jobs) {
  if (!engine.storage) return *troubleOf(engine);
  StorageKeys keys;
  for (const auto& job : jobs) {
    const StorageKeys& its = static_cast<const Request&>(*job).keys;
    keys.insert(keys.end(), its.begin(), its.end());
  }
  return engine.storage->begin(access, keys);
}

/// Runs the jobs, counts visits, and commits.
Result<void> StorageLane::finish(Engine& engine, Access access, const Jobs& jobs) {
  const bool writes = access == Access::kWrite;
  Storage& storage = *engine.storage;
  storage_ = &storage;
  for (const auto& job : jobs) job->run();
  Visits visits;
  if (writes && !storage.countsVisitsApart()) visits = takeVisits();
  const Result<void> counted = addVisits(storage, visits);
  Result<void> done;
  if (writes) done = options_.beforeCommit();
  if (done) {
    done = storage.commit();
  } else {
    storage.rollback();
  }
  // Visits that the storage calls invalid would be refused again: they are dropped.
  if (done && (counted || counted.error().code == ErrorCode::kInvalid)) visits.clear();
  if (writes && (!done || !visits.empty())) putBack(std::move(visits));
  return done;
}

/// Of an engine that several hosts share: nothing has happened, and it may be there again soon.
bool StorageLane::mayRunAgain(const Result<void>& done) const {
  if (done || !options_.shared) return false;
  return done.error().code == ErrorCode::kAgain || done.error().code == ErrorCode::kBusy;
}

/// Those whose patience is over are answered, wherever they wait; the others go back to the queue.
void StorageLane::runAgainLater(Engine& engine, Jobs jobs, const Error& error) {
  Jobs waiting = queue_.takeAll();
  if (error.code == ErrorCode::kAgain) {
    for (const auto& job : jobs) static_cast<Request&>(*job).alone = true;
    std::swap(jobs, waiting);
  }
  for (auto& job : waiting) jobs.push_back(std::move(job));
  const Clock::time_point now = Clock::now();
  const auto mayWait = [&](const std::unique_ptr<Job>& job) {
    return !givenUp_ && static_cast<const Request&>(*job).until > now;
  };
  const auto over = std::stable_partition(jobs.begin(), jobs.end(), mayWait);
  Jobs late(std::make_move_iterator(over), std::make_move_iterator(jobs.end()));
  jobs.erase(over, jobs.end());
  const ErrorCode code = givenUp_ ? ErrorCode::kBusy : ErrorCode::kIo;
  for (const auto& job : late) job->fail({code, error.message});
  queue_.putBack(std::move(jobs));
  queue_.deliver(std::move(late));
  if (error.code == ErrorCode::kBusy && !engine.awaySince) engine.awaySince = now;
  engine.nextGroup = now + pauseBefore(engine.repeats++, error);
}

/// What was lost in the middle of its way is tried at once, then ever more rarely.
std::chrono::milliseconds StorageLane::pauseBefore(unsigned repeat, const Error& error) const {
  const std::chrono::milliseconds most = options_.shared->retryDelay;
  if (error.code == ErrorCode::kBusy || repeat >= kQuickRepeats) return most;
  return std::min(most, std::chrono::milliseconds(((1 << repeat) - 1) * kFirstPause));
}

Result<void> StorageLane::addVisits(Storage& storage, const Visits& visits) {
  if (visits.empty()) return {};
  std::vector<Visit> batch;
  for (const auto& [certificate, visit] : visits) batch.push_back(visit);
  return storage.addVisits(batch);
}

/// In a commit of their own.
void StorageLane::writeVisits(Engine& engine) {
  Visits visits = takeVisits();
  const Result<void> counted = addVisits(*engine.storage, visits);
  if (!counted && counted.error().code != ErrorCode::kInvalid) putBack(std::move(visits));
}

/// A thread that writes would notice by itself.
void StorageLane::look(Engine& engine) {
  engine.nextLook = Clock::now() + options_.shared->lookEvery;
  static_cast<void>(engine.storage->look());
  const auto trouble = engine.storage->trouble();
  note(engine, trouble, trouble ? Access::kWrite : Access::kRead);
}

void StorageLane::openStorage(Engine& engine) {
  const Clock::time_point now = Clock::now();
  if ((engine.storage && !engine.reopenNeeded) || now < engine.nextOpen) return;
  engine.nextOpen = now + options_.reopenDelay;
  engine.reopenNeeded = false;
  const bool wasOpen = engine.storage != nullptr;
  engine.storage.reset();
  Result<std::unique_ptr<Storage>> opened = open_(engine.number);
  if (!opened) {
    note(engine, opened.error(), Access::kRead);
    return;
  }
  engine.storage = std::move(opened).value();
  if (options_.shared) engine.nextLook = now + options_.shared->lookEvery;
  // If it was open before, only the next job shows whether opening it anew helped.
  if (!wasOpen) note(engine, {}, Access::kWrite);
}

StorageLane::Visits StorageLane::takeVisits() {
  const MutexLock lock(mutex_);
  return std::exchange(visits_, {});
}

/// Puts visits back for the next attempt, merged with those that came meanwhile.
void StorageLane::putBack(Visits visits) {
  const MutexLock lock(mutex_);
  for (auto& [certificate, visit] : visits_) {
    if (const auto known = visits.find(certificate); known != visits.end()) {
      merge(known->second, visit);
    } else {
      visits.emplace(certificate, std::move(visit));
    }
  }
  visits_ = std::move(visits);
  visitsDue_ = Clock::now() + options_.visitDelay;
}

std::optional<Error> StorageLane::troubleOf(const Engine& engine) const {
  const MutexLock lock(mutex_);
  return troubles_[engine.number];
}

void StorageLane::note(Engine& engine, const std::optional<Error>& trouble, Access access) {
  // Two hosts that meet are no trouble.
  if (trouble && trouble->code == ErrorCode::kAgain && engine.repeats < kQuickRepeats) return;
  const bool wasTroubled = troubleOf(engine).has_value();
  if (!trouble && wasTroubled && engine.troubled == Access::kWrite && access == Access::kRead) {
    return;
  }
  engine.troubled = access;
  if (trouble) {
    engine.reopenNeeded =
        trouble->code == ErrorCode::kIo || trouble->code == ErrorCode::kPermission;
  }
  const MutexLock lock(mutex_);
  troubles_[engine.number] = trouble;
  complain(trouble);
}

void StorageLane::complain(const std::optional<Error>& trouble) {
  if (!trouble) {
    if (complained_ &&
        std::ranges::none_of(troubles_, [](const auto& known) { return known.has_value(); })) {
      spdlog::info("the storage works again");
      complained_ = false;
    }
    return;
  }
  if (Clock::now() < nextComplaint_) return;
  const bool waits =
      options_.shared && (trouble->code == ErrorCode::kBusy || trouble->code == ErrorCode::kAgain);
  spdlog::error("storage: {}; what needs it {} until it works again", trouble->message,
                waits ? "waits" : "is refused");
  nextComplaint_ = Clock::now() + kComplaintGap;
  complained_ = true;
}

}  // namespace egalaxyd
