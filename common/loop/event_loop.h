// epoll, deadlines and work posted from other threads: the only place where a process waits.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/unique_fd.h"
#include "common/base/unique_function.h"

struct epoll_event;

namespace egalaxyd {

using Clock = std::chrono::steady_clock;

/// What a descriptor is ready for. A hang-up or an error counts as readable and writable, always,
/// so that the owner meets it in its next system call.
struct IoEvents {
  bool readable = false;
  bool writable = false;
  bool ended = false;   ///< the peer will send no more than what is there
  bool broken = false;  ///< nothing can be sent either
};

/// How a descriptor is watched.
enum class WatchMode {
  kRead,        ///< level-triggered, readable
  kSharedRead,  ///< as kRead; of several processes that wait on it, only some are woken
  kEdge,        ///< edge-triggered, readable; writable too after wantRoom()
};

class EventLoop;

/// A descriptor's registration; a member of the object that owns the descriptor.
/// Loop thread only. `onReady` must not destroy its own Watch: EventLoop::defer does. Not movable.
class Watch {
 public:
  Watch(EventLoop& loop, std::function<void(IoEvents)> onReady);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// `fd` stays the caller's and must be open until stop(), forget() or the destructor.
  Result<void> start(int fd, WatchMode mode);
  /// Of kEdge: reports from now on when it is writable, at once if it is. Most answers fit into
  /// the socket, and need not hear that they have been received.
  void wantRoom();
  void stop();
  /// As stop(), where the descriptor is closed next: the kernel drops its registration by itself.
  void forget();
  bool active() const { return fd_ >= 0; }

 private:
  friend class EventLoop;
  EventLoop& loop_;
  int fd_ = -1;
  bool wantsRoom_ = false;
  std::function<void(IoEvents)> onReady_;
};

/// A deadline; a member of the object that it belongs to. Loop thread only. `onTime` must not
/// destroy its own Timer. Not movable.
class Timer {
 public:
  Timer(EventLoop& loop, std::function<void()> onTime);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Sets or moves the deadline; it fires once.
  void setAt(Clock::time_point when);
  void setAfter(Clock::duration delay);
  void cancel();
  bool active() const { return heapIndex_ != kIdle; }

 private:
  friend class EventLoop;
  static constexpr std::uint32_t kIdle = UINT32_MAX;
  EventLoop& loop_;
  Clock::time_point when_{};
  std::uint32_t heapIndex_ = kIdle;
  std::function<void()> onTime_;
};

/// One loop per process (master, worker). All members but post() belong to the loop's thread.
class EventLoop {
 public:
  /// Throws std::system_error when the kernel gives no epoll or event descriptor.
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Runs until stop(). Order of a turn: ready descriptors, due deadlines, posted work, deferred
  /// work.
  void run();
  void stop() { stopping_ = true; }

  /// What a callback throws goes to standard error, and the loop goes on with the next. From now on
  /// it goes to `report` instead.
  void containExceptions(std::function<void(std::string_view what)> report);

  /// The time at which this turn began; cheap.
  Clock::time_point now() const { return now_; }

  /// Any thread: runs `job` on the loop's. A job that throws, deferred or not, is told of so, and
  /// ends.
  void post(UniqueFunction<void()> job);
  /// Runs `job` at the end of this turn, when no callback is on the stack; one deferred by a
  /// deferred job waits for the next turn's end, after whatever became ready meanwhile.
  void defer(UniqueFunction<void()> job);

  /// Deadlines and descriptors that are registered now, the loop's own left out: what a worker's
  /// self-audit counts.
  std::size_t timerCount() const { return heap_.size(); }
  std::size_t watchCount() const { return watchCount_; }

 private:
  friend class Watch;
  friend class Timer;

  template <class Callback>
  void call(Callback&& callback);
  void dispatch(std::span<epoll_event> events);
  void consumeWakeUp();
  void forget(const Watch& watch);
  void runTimers();
  void runPosted();
  void runDeferred();
  int waitMilliseconds() const;

  void place(Timer* timer, std::size_t index);
  void siftUp(std::size_t index);
  void siftDown(std::size_t index);
  void removeAt(std::size_t index);

  UniqueFd epoll_;
  UniqueFd wakeUp_;
  bool stopping_ = false;
  Clock::time_point now_ = Clock::now();
  std::vector<Timer*> heap_;  ///< binary heap by deadline
  std::size_t watchCount_ = 0;
  std::span<epoll_event> batch_;  ///< not yet dispatched
  std::vector<UniqueFunction<void()>> deferred_;
  std::function<void(std::string_view)> reportException_;
  Mutex postMutex_;
  std::list<UniqueFunction<void()>> posted_ EGALAXYD_GUARDED_BY(postMutex_);
};

}  // namespace egalaxyd
