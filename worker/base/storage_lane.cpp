#include "worker/base/storage_lane.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace egalaxyd {
namespace {

constexpr auto kComplaintGap = std::chrono::seconds(30);

void merge(Visit& into, const Visit& visit) {
  into.count += visit.count;
  into.last = std::max(into.last, visit.last);
  into.admitted = into.admitted || visit.admitted;
  into.claimed = visit.claimed;
}

}  // namespace

StorageLane::StorageLane(EventLoop& loop, Open open, StorageLaneOptions options)
    : open_(std::move(open)),
      options_(std::move(options)),
      queue_(loop, "storage", options_.queueLimit),
      thread_(startLaneThread("storage", [this] { runThread(); })) {}

StorageLane::~StorageLane() { queue_.stop(); }

void StorageLane::add(Access access, std::unique_ptr<Job> job) {
  queue_.add(std::make_unique<Request>(access, std::move(job)));
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

std::string StorageLane::lastError() const {
  const auto known = trouble();
  return known ? known->message : std::string();
}

std::optional<Error> StorageLane::trouble() const {
  const MutexLock lock(mutex_);
  return trouble_;
}

void StorageLane::runThread() {
  openStorage();
  for (bool last = false; !last;) {
    // Readers that arrived during the last group of writes are in readers_ already.
    last = !queue_.wait(readers_.empty() ? nextDuty() : Clock::time_point());
    openStorage();
    sortJobs();
    if (!readers_.empty()) runGroup(Access::kRead);
    if (!writers_.empty() || visitsAreDue(last)) runGroup(Access::kWrite);
  }
}

/// The time of the next work that no job brings: to open the storage, or to write visits.
Clock::time_point StorageLane::nextDuty() const {
  const MutexLock lock(mutex_);
  const Clock::time_point opens = storage_ ? Clock::time_point::max() : nextOpen_;
  return visits_.empty() ? opens : std::min(opens, visitsDue_);
}

bool StorageLane::visitsAreDue(bool last) const {
  const MutexLock lock(mutex_);
  return !visits_.empty() && (last || Clock::now() >= visitsDue_);
}

void StorageLane::sortJobs() {
  for (auto& job : queue_.takeAll()) {
    const bool reads = static_cast<const Request&>(*job).access == Access::kRead;
    (reads ? readers_ : writers_).push_back(std::move(job));
  }
}

/// Jobs that arrive during the wait for another process's lock share the commit. If the lock is not
/// obtained, only the jobs from before fail; later ones stay queued and get their own wait.
void StorageLane::runGroup(Access access) {
  const bool writes = access == Access::kWrite;
  Jobs& waiting = writes ? writers_ : readers_;
  Jobs jobs = std::exchange(waiting, {});
  std::unique_lock<Turn> turn;
  if (writes && options_.turn != nullptr) {
    turn = std::unique_lock(*options_.turn, options_.turnPatience);
  }
  Result<void> done = storage_ ? storage_->begin(access) : Result<void>(*trouble());
  Visits visits;
  if (done) {
    sortJobs();
    for (auto& job : std::exchange(waiting, {})) jobs.push_back(std::move(job));
    for (const auto& job : jobs) job->run();
    if (writes) visits = takeVisits();
    const Result<void> counted = addVisits(visits);
    if (writes) done = options_.beforeCommit();
    if (done) {
      done = storage_->commit();
    } else {
      storage_->rollback();
    }
    // Visits that the storage calls invalid would be refused again: they are dropped.
    if (done && (counted || counted.error().code == ErrorCode::kInvalid)) visits.clear();
  }
  if (turn) turn.unlock();
  if (!done) {
    // The storage's trouble is not the job's fault: never kInvalid.
    const bool passes = done.error().code == ErrorCode::kBusy;
    const Error error{passes ? ErrorCode::kBusy : ErrorCode::kIo, done.error().message};
    for (const auto& job : jobs) job->fail(error);
  }
  if (writes && (!done || !visits.empty())) putBack(std::move(visits));
  if (storage_) note(storage_->trouble(), access);
  queue_.deliver(std::move(jobs));
}

Result<void> StorageLane::addVisits(const Visits& visits) {
  if (visits.empty()) return {};
  std::vector<Visit> batch;
  for (const auto& [certificate, visit] : visits) batch.push_back(visit);
  return storage_->addVisits(batch);
}

void StorageLane::openStorage() {
  const Clock::time_point now = Clock::now();
  if ((storage_ && !reopenNeeded_) || now < nextOpen_) return;
  nextOpen_ = now + options_.reopenDelay;
  reopenNeeded_ = false;
  const bool wasOpen = storage_ != nullptr;
  storage_.reset();
  Result<std::unique_ptr<Storage>> opened = open_();
  if (!opened) {
    note(opened.error(), Access::kRead);
    return;
  }
  storage_ = std::move(opened).value();
  // If it was open before, only the next job shows whether opening it anew helped.
  if (!wasOpen) note({}, Access::kWrite);
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

void StorageLane::note(const std::optional<Error>& trouble, Access access) {
  const bool wasTroubled = this->trouble().has_value();
  if (!trouble && wasTroubled && troubled_ == Access::kWrite && access == Access::kRead) return;
  {
    const MutexLock lock(mutex_);
    trouble_ = trouble;
  }
  troubled_ = access;
  if (!trouble) {
    if (complained_) spdlog::info("the storage works again");
    complained_ = false;
    return;
  }
  reopenNeeded_ = trouble->code == ErrorCode::kIo || trouble->code == ErrorCode::kPermission;
  if (Clock::now() < nextComplaint_) return;
  spdlog::error("storage: {}; what needs it is refused until it works again", trouble->message);
  nextComplaint_ = Clock::now() + kComplaintGap;
  complained_ = true;
}

}  // namespace egalaxyd
