#include "worker/base/storage_thread.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <exception>

namespace egalaxyd {
namespace {

constexpr auto kComplaintGap = std::chrono::seconds(30);

void merge(Visit& into, const Visit& visit) {
  into.count += visit.count;
  into.last = std::max(into.last, visit.last);
  into.admitted = into.admitted || visit.admitted;
}

}  // namespace

StorageThread::StorageThread(EventLoop& loop, Open open, StorageThreadOptions options)
    : loop_(loop),
      open_(std::move(open)),
      options_(options),
      pending_(std::make_shared<std::size_t>(0)) {
  // Threads inherit the mask: signals are the loop's business.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::jthread([this] { runThread(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

StorageThread::~StorageThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

void StorageThread::enqueue(std::unique_ptr<Job> job) {
  std::unique_lock lock(mutex_);
  if (readers_.size() + writers_.size() >= options_.queueLimit) {
    lock.unlock();
    ++*pending_;
    job->fail({ErrorCode::kBusy, "too many jobs wait for the storage"});
    Jobs refused;
    refused.push_back(std::move(job));
    return deliver(std::move(refused));
  }
  (job->access == Access::kRead ? readers_ : writers_).push_back(std::move(job));
  lock.unlock();
  ++*pending_;  // it ends on this thread, later
  wake_.notify_one();
}

void StorageThread::recordVisit(Visit visit) {
  visit.last = wallNow();
  {
    const std::lock_guard lock(mutex_);
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
  wake_.notify_one();
}

std::string StorageThread::lastError() const {
  const std::lock_guard lock(mutex_);
  return trouble_ ? trouble_->message : std::string();
}

void StorageThread::runThread() {
  openStorage();
  for (bool last = false; !last;) {
    bool read = false;
    bool write = false;
    {
      std::unique_lock lock(mutex_);
      while (!stopping_ && readers_.empty() && writers_.empty()) {
        Clock::time_point until = storage_ ? Clock::time_point::max() : nextOpen_;
        if (!visits_.empty()) until = std::min(until, visitsDue_);
        if (until == Clock::time_point::max()) {
          wake_.wait(lock);
        } else if (wake_.wait_until(lock, until) == std::cv_status::timeout) {
          break;
        }
      }
      last = stopping_;
      read = !readers_.empty();
      write = !writers_.empty() || (!visits_.empty() && (last || Clock::now() >= visitsDue_));
    }
    openStorage();
    if (read) runGroup(Access::kRead);
    if (write) runGroup(Access::kWrite);
  }
}

/// Jobs that come while another process's lock is waited for share the commit; when the wait is in
/// vain, theirs has only begun.
void StorageThread::runGroup(Access access) {
  const bool writes = access == Access::kWrite;
  Jobs jobs = takeJobs(access);
  std::unique_lock<Turn> turn;
  if (writes && options_.turn != nullptr) {
    turn = std::unique_lock(*options_.turn, options_.turnPatience);
  }
  Result<void> done = storage_ ? storage_->begin(access) : Result<void>(*trouble_);
  Visits visits;
  if (done) {
    for (auto& job : takeJobs(access)) jobs.push_back(std::move(job));
    for (const auto& job : jobs) job->run(*storage_);
    if (writes) visits = takeVisits();
    const Result<void> counted = addVisits(visits);
    if (writes) done = options_.beforeCommit();
    if (done) {
      done = storage_->commit();
    } else {
      storage_->rollback();
    }
    // What the storage calls invalid, it will not take later either.
    if (done && (counted || counted.error().code == ErrorCode::kInvalid)) visits.clear();
  }
  if (turn) turn.unlock();
  if (!done) {
    // What ails the storage is no fault of what was asked.
    const bool passes = done.error().code == ErrorCode::kBusy;
    const Error error{passes ? ErrorCode::kBusy : ErrorCode::kIo, done.error().message};
    for (const auto& job : jobs) job->fail(error);
  }
  if (writes && (!done || !visits.empty())) putBack(std::move(visits));
  if (storage_) note(storage_->trouble(), access);
  deliver(std::move(jobs));
}

StorageThread::Jobs StorageThread::takeJobs(Access access) {
  const std::lock_guard lock(mutex_);
  return std::exchange(access == Access::kRead ? readers_ : writers_, {});
}

Result<void> StorageThread::addVisits(const Visits& visits) {
  if (visits.empty()) return {};
  std::vector<Visit> batch;
  for (const auto& [certificate, visit] : visits) batch.push_back(visit);
  return storage_->addVisits(batch);
}

void StorageThread::openStorage() {
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
  // Whether opening it anew helped is for the next job to tell.
  if (!wasOpen) note({}, Access::kWrite);
}

StorageThread::Visits StorageThread::takeVisits() {
  const std::lock_guard lock(mutex_);
  return std::exchange(visits_, {});
}

/// For the next attempt, together with those that came meanwhile.
void StorageThread::putBack(Visits visits) {
  const std::lock_guard lock(mutex_);
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

void StorageThread::note(const std::optional<Error>& trouble, Access access) {
  if (!trouble && trouble_ && troubled_ == Access::kWrite && access == Access::kRead) return;
  {
    const std::lock_guard lock(mutex_);
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

void StorageThread::deliver(Jobs jobs) {
  if (jobs.empty()) return;
  loop_.post([pending = pending_, jobs = std::move(jobs)]() mutable {
    for (const auto& job : jobs) {
      --*pending;
      try {
        job->answer();
      } catch (const std::exception& e) {  // the others' answers are none of its business
        spdlog::error("an answer of the storage was lost: {}", e.what());
      }
    }
  });
}

}  // namespace egalaxyd
