#include "worker/base/blocking_pool.h"

#include <spdlog/spdlog.h>

#include <csignal>
#include <exception>
#include <new>
#include <utility>

#include "common/base/poco_seam.h"
#include "common/system/log.h"

namespace egalaxyd {

BlockingPool::BlockingPool(EventLoop& loop, std::size_t threads, std::size_t queueLimit)
    : loop_(loop), queueLimit_(queueLimit) {
  // Threads inherit the mask: signals are the loop's business.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { runThread(); });
  } catch (...) {  // there is no further thread: those that run are joined next
    stop();
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

BlockingPool::~BlockingPool() { stop(); }

void BlockingPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  wake_.notify_all();
}

Error BlockingPool::queueIsFull() { return {ErrorCode::kBusy, "too many jobs wait"}; }

void BlockingPool::enqueue(Job job) {
  std::unique_lock lock(mutex_);
  if (queue_.size() >= queueLimit_) {
    lock.unlock();
    ++pending_;
    return job(Fate::kRefused);
  }
  queue_.push_back(std::move(job));
  lock.unlock();
  ++pending_;  // it ends on this thread, later
  wake_.notify_one();
}

bool BlockingPool::run(UniqueFunction<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= queueLimit_) return false;
    queue_.push_back([work = std::move(work)](Fate) mutable { work(); });
  }
  wake_.notify_one();
  return true;
}

void BlockingPool::complete(UniqueFunction<void()> done) {
  loop_.post([this, done = std::move(done)]() mutable {
    --pending_;
    done();
  });
}

void BlockingPool::runThread() {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    try {
      const auto ran = contained("a job of the pool", [&] { job(Fate::kRun); });
      if (!ran) spdlog::error("{}", logQuote(ran.error().message));
    } catch (const std::bad_alloc&) {
      // The message was for the log alone; the thread goes on.
    }
  }
}

}  // namespace egalaxyd
