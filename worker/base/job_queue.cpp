#include "worker/base/job_queue.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <iterator>
#include <utility>

#include "common/base/poco_seam.h"
#include "common/system/log.h"

namespace egalaxyd {

JobQueue::JobQueue(EventLoop& loop, std::string name, std::size_t limit)
    : loop_(loop),
      name_(std::move(name)),
      limit_(limit),
      pending_(std::make_shared<std::size_t>(0)) {}

void JobQueue::add(std::unique_ptr<Job> job) {
  MutexLock lock(mutex_);
  if (jobs_.size() < limit_) {
    jobs_.push_back(std::move(job));
    lock.unlock();
    ++*pending_;  // decremented on this thread too, by deliver()
    return changed_.notifyOne();
  }
  lock.unlock();
  ++*pending_;
  job->fail({ErrorCode::kBusy, "too many jobs wait for the " + name_});
  Jobs refused;
  refused.push_back(std::move(job));
  deliver(std::move(refused));
}

void JobQueue::wake() {
  {
    const MutexLock lock(mutex_);
    woken_ = true;
  }
  changed_.notifyOne();
  resumed_.notifyAll();
}

void JobQueue::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notifyAll();
  resumed_.notifyAll();
}

void JobQueue::stopAndForget() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  changed_.notifyAll();
  resumed_.notifyAll();
}

std::unique_ptr<Job> JobQueue::take() {
  const MutexLock lock(mutex_);
  while (!stopping_ && jobs_.empty()) changed_.wait(mutex_);
  if (stopping_) return nullptr;
  auto job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

Jobs JobQueue::takeAll(std::size_t most) {
  const MutexLock lock(mutex_);
  const auto end = jobs_.begin() + static_cast<std::ptrdiff_t>(std::min(most, jobs_.size()));
  Jobs all(std::make_move_iterator(jobs_.begin()), std::make_move_iterator(end));
  jobs_.erase(jobs_.begin(), end);
  return all;
}

void JobQueue::putBack(Jobs jobs) {
  if (jobs.empty()) return;
  {
    const MutexLock lock(mutex_);
    jobs_.insert(jobs_.begin(), std::make_move_iterator(jobs.begin()),
                 std::make_move_iterator(jobs.end()));
  }
  changed_.notifyOne();
}

bool JobQueue::wait(Clock::time_point until) {
  const MutexLock lock(mutex_);
  while (!stopping_ && !woken_ && jobs_.empty() && Clock::now() < until) {
    if (until == Clock::time_point::max()) {
      changed_.wait(mutex_);  // waitUntil() would overflow
    } else {
      changed_.waitUntil(mutex_, until);
    }
  }
  woken_ = false;
  return !stopping_;
}

void JobQueue::pause(Clock::time_point until) {
  const MutexLock lock(mutex_);
  while (!stopping_ && !woken_ && Clock::now() < until) resumed_.waitUntil(mutex_, until);
}

void JobQueue::deliver(Jobs jobs) {
  if (jobs.empty()) return;
  loop_.post([pending = pending_, jobs = std::move(jobs)] {
    for (const auto& job : jobs) {
      --*pending;
      // What one answer throws does not keep the others from theirs.
      const auto answered = contained("the answer of a job", [&] { job->answer(); });
      if (!answered) spdlog::error("{}", logQuote(answered.error().message));
    }
  });
}

std::jthread startLaneThread(std::string name, UniqueFunction<void()> main) {
  // The new thread inherits this signal mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto restore = [&] { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  try {
    std::jthread thread([name = std::move(name), main = std::move(main)]() mutable {
      ::pthread_setname_np(::pthread_self(), name.c_str());
      main();
    });
    restore();
    return thread;
  } catch (...) {
    restore();
    throw;
  }
}

}  // namespace egalaxyd
