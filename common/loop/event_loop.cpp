#include "common/loop/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <system_error>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/path.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kEventsPerTurn = 128;
constexpr std::uint32_t kEdgeMask = EPOLLIN | EPOLLRDHUP | EPOLLET;

std::uint32_t epollMask(WatchMode mode) {
  switch (mode) {
    case WatchMode::kRead:
      return EPOLLIN;
    case WatchMode::kSharedRead:
      return EPOLLIN | EPOLLEXCLUSIVE;
    case WatchMode::kEdge:
      return kEdgeMask;
  }
  return 0;
}

void tellException(std::string_view what) {
  std::fprintf(stderr, "a step of the event loop was ended by an exception: %s\n",
               printable(what).c_str());
}

/// What `report` throws is dropped: it may be for want of memory, as may `what` have been.
void tell(const std::function<void(std::string_view)>& report, std::string_view what) noexcept {
  try {
    report(what);
  } catch (...) {  // NOLINT(bugprone-empty-catch)
  }
}

int orThrow(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return fd;
}

}  // namespace

Watch::Watch(EventLoop& loop, std::function<void(IoEvents)> onReady)
    : loop_(loop), onReady_(std::move(onReady)) {}

Watch::~Watch() { stop(); }

Result<void> Watch::start(int fd, WatchMode mode) {
  stop();
  epoll_event event{};
  event.events = epollMask(mode);
  event.data.ptr = this;
  if (::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return errnoError("epoll_ctl", errno);
  }
  fd_ = fd;
  wantsRoom_ = false;
  ++loop_.watchCount_;
  return {};
}

void Watch::wantRoom() {
  if (wantsRoom_ || fd_ < 0) return;
  wantsRoom_ = true;
  epoll_event event{};
  event.events = kEdgeMask | EPOLLOUT;
  event.data.ptr = this;
  ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_MOD, fd_, &event);
}

void Watch::stop() {
  if (fd_ < 0) return;
  ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
  forget();
}

void Watch::forget() {
  if (fd_ < 0) return;
  fd_ = -1;
  --loop_.watchCount_;
  loop_.forget(*this);
}

Timer::Timer(EventLoop& loop, std::function<void()> onTime)
    : loop_(loop), onTime_(std::move(onTime)) {}

Timer::~Timer() { cancel(); }

void Timer::setAt(Clock::time_point when) {
  cancel();
  when_ = when;
  loop_.heap_.push_back(this);
  heapIndex_ = static_cast<std::uint32_t>(loop_.heap_.size() - 1);
  loop_.siftUp(heapIndex_);
}

void Timer::setAfter(Clock::duration delay) { setAt(loop_.now() + delay); }

void Timer::cancel() {
  if (active()) loop_.removeAt(heapIndex_);
}

EventLoop::EventLoop()
    : epoll_(orThrow(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wakeUp_(orThrow(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      reportException_(tellException) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = this;
  orThrow(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wakeUp_.get(), &event), "epoll_ctl");
}

EventLoop::~EventLoop() = default;

void EventLoop::run() {
  stopping_ = false;
  std::array<epoll_event, kEventsPerTurn> events;
  while (!stopping_) {
    const int ready = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, waitMilliseconds());
    now_ = Clock::now();
    if (ready > 0) dispatch(std::span(events).first(static_cast<std::size_t>(ready)));
    runTimers();
    runPosted();
    runDeferred();
  }
}

void EventLoop::post(UniqueFunction<void()> job) {
  std::list<UniqueFunction<void()>> one;
  one.push_back(std::move(job));  // not under the lock: a thread may have to wait for memory
  {
    const MutexLock lock(postMutex_);
    posted_.splice(posted_.end(), one);
    if (posted_.size() > 1) return;  // whoever posted the first job wakes the loop
  }
  const std::uint64_t wake = 1;
  [[maybe_unused]] const auto written = ::write(wakeUp_.get(), &wake, sizeof wake);
}

void EventLoop::defer(UniqueFunction<void()> job) { deferred_.push_back(std::move(job)); }

void EventLoop::containExceptions(std::function<void(std::string_view what)> report) {
  reportException_ = std::move(report);
}

template <class Callback>
void EventLoop::call(Callback&& callback) {
  try {
    callback();
  } catch (const std::exception& e) {
    tell(reportException_, e.what());
  } catch (...) {
    tell(reportException_, "what is no std::exception");
  }
}

void EventLoop::dispatch(std::span<epoll_event> events) {
  batch_ = events;
  while (!batch_.empty()) {
    const epoll_event event = batch_.front();
    batch_ = batch_.subspan(1);
    if (event.data.ptr == this) {
      consumeWakeUp();
      continue;
    }
    auto* watch = static_cast<Watch*>(event.data.ptr);
    if (watch == nullptr) continue;  // forgotten during this batch
    const bool broken = (event.events & (EPOLLHUP | EPOLLERR)) != 0;
    const bool ended = broken || (event.events & EPOLLRDHUP) != 0;
    const IoEvents seen{.readable = ended || (event.events & EPOLLIN) != 0,
                        .writable = broken || (event.events & EPOLLOUT) != 0,
                        .ended = ended,
                        .broken = broken};
    call([&] { watch->onReady_(seen); });
  }
}

/// Empties the eventfd. Called when epoll reports it, not when jobs are taken: runPosted() may take
/// a job before the thread that posted it has written to the eventfd, and what is then written and
/// never read would make the loop spin.
void EventLoop::consumeWakeUp() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(wakeUp_.get(), &count, sizeof count);
}

void EventLoop::forget(const Watch& watch) {
  for (epoll_event& event : batch_) {
    if (event.data.ptr == &watch) event.data.ptr = nullptr;
  }
}

void EventLoop::runTimers() {
  // `<`, not `<=`: a deadline of "now" that a callback sets is due in the next turn, after
  // descriptors.
  while (!heap_.empty() && heap_.front()->when_ < now_) {
    Timer* due = heap_.front();
    removeAt(0);
    call(due->onTime_);
  }
}

void EventLoop::runPosted() {
  std::list<UniqueFunction<void()>> jobs;
  {
    const MutexLock lock(postMutex_);
    jobs.swap(posted_);
  }
  for (auto& job : jobs) call(job);
}

void EventLoop::runDeferred() {
  std::vector<UniqueFunction<void()>> jobs;
  jobs.swap(deferred_);
  for (auto& job : jobs) call(job);
}

int EventLoop::waitMilliseconds() const {
  if (stopping_ || !deferred_.empty()) return 0;
  if (heap_.empty()) return -1;
  const auto left = heap_.front()->when_ - Clock::now();
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(wait, 0, 60'000));
}

void EventLoop::place(Timer* timer, std::size_t index) {
  heap_[index] = timer;
  timer->heapIndex_ = static_cast<std::uint32_t>(index);
}

void EventLoop::siftUp(std::size_t index) {
  Timer* timer = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (heap_[parent]->when_ <= timer->when_) break;
    place(heap_[parent], index);
    index = parent;
  }
  place(timer, index);
}

void EventLoop::siftDown(std::size_t index) {
  Timer* timer = heap_[index];
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->when_ < heap_[child]->when_) ++child;
    if (timer->when_ <= heap_[child]->when_) break;
    place(heap_[child], index);
    index = child;
  }
  place(timer, index);
}

void EventLoop::removeAt(std::size_t index) {
  heap_[index]->heapIndex_ = Timer::kIdle;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  place(last, index);
  siftUp(index);
  siftDown(last->heapIndex_);
}

}  // namespace egalaxyd
