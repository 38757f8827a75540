// Coroutines: work that waits, written from top to bottom. Loop thread only.
//
//   Task<Result<void>> copy(Lane& lane, Body& body) {
//     for (;;) {
//       auto bytes = co_await body.read();
//       if (!bytes || bytes->empty()) co_return bytes ? Result<void>() : bytes.error();
//       if (auto written = co_await append(lane, *bytes); !written) co_return written;
//     }
//   }
//
// Never write a lambda with captures inside a co_await expression: g++ 12 destroys its captures
// twice. Write a function that returns the Async; its name also says what is awaited.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/result.h"
#include "common/base/unique_function.h"
#include "worker/base/intrusive_list.h"
#include "worker/base/job.h"

namespace egalaxyd {

/// Tells a task that its result is no longer wanted. Shared by the requester, on the loop, and the
/// task: after request() each co_await of the task gives an Error, and jobs that have not begun do
/// not run.
class Cancellation {
 public:
  void request() {
    requested_.store(true, std::memory_order_relaxed);
    if (auto hook = std::exchange(hook_, {})) hook();
  }
  bool requested() const { return requested_.load(std::memory_order_relaxed); }
  /// Loop thread only: `hook` is called by request(), for a task that waits for what may never
  /// come. It must not end the task there and then. An empty one takes the last back.
  void onRequest(UniqueFunction<void()> hook) const { hook_ = std::move(hook); }

  static Error error() { return {ErrorCode::kIo, "nobody waits for this any more"}; }

 private:
  std::atomic<bool> requested_ = false;
  mutable UniqueFunction<void()> hook_;
};

/// What every coroutine's promise holds.
struct PromiseBase {
  std::coroutine_handle<> parent;  ///< the coroutine that awaits this one; null: Tasks started it
  int* unfinished = nullptr;       ///< for both(): parts under way; at 0 the parent goes on
  const Cancellation* cancellation = nullptr;  ///< null: it cannot be cancelled
  std::exception_ptr thrown;

  bool isCancelled() const { return cancellation != nullptr && cancellation->requested(); }
  void unhandled_exception() { thrown = std::current_exception(); }
  std::suspend_always initial_suspend() noexcept { return {}; }

  struct Final {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
      PromiseBase& promise = ended.promise();
      if (promise.unfinished != nullptr && --*promise.unfinished > 0) return std::noop_coroutine();
      if (promise.parent) return promise.parent;
      ended.promise().leaveTasks();
      return std::noop_coroutine();
    }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;

  void return_value(T result) { value.emplace(std::move(result)); }
  T take() {
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*value);
  }
  void leaveTasks() noexcept {}
};

class Tasks;

template <>
struct Promise<void> : PromiseBase {
  // Only for a task that Tasks started.
  Tasks* tasks = nullptr;
  std::shared_ptr<const Cancellation> held;
  Promise* previous = nullptr;
  Promise* next = nullptr;

  void return_void() {}
  void take() {
    if (thrown) std::rethrow_exception(thrown);
  }
  void leaveTasks() noexcept;
};

/// A coroutine, which begins when it is awaited or given to Tasks. Owns its frame.
template <class T>
class [[nodiscard]] Task {
 public:
  struct promise_type : Promise<T> {
    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
  };
  using Handle = std::coroutine_handle<promise_type>;

  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  template <class Parent>
  Handle await_suspend(std::coroutine_handle<Parent> parent) noexcept {
    adopt(parent, nullptr);
    return frame_;
  }
  T await_resume() { return frame_.promise().take(); }

 private:
  template <class A, class B>
  friend class Both;
  friend class Tasks;

  explicit Task(Handle frame) : frame_(frame) {}
  template <class Parent>
  void adopt(std::coroutine_handle<Parent> parent, int* unfinished) noexcept {
    PromiseBase& mine = frame_.promise();
    mine.parent = parent;
    mine.unfinished = unfinished;
    mine.cancellation = parent.promise().cancellation;
  }

  Handle frame_;
};

/// Runs two tasks concurrently and waits for both, even if one fails.
template <class A, class B>
class [[nodiscard]] Both {
 public:
  Both(Task<A> a, Task<B> b) : a_(std::move(a)), b_(std::move(b)) {}

  bool await_ready() const noexcept { return false; }
  template <class Parent>
  bool await_suspend(std::coroutine_handle<Parent> parent) {
    a_.adopt(parent, &unfinished_);
    b_.adopt(parent, &unfinished_);
    a_.frame_.resume();
    b_.frame_.resume();
    return --unfinished_ > 0;
  }
  std::pair<A, B> await_resume() {
    A first = a_.await_resume();
    return {std::move(first), b_.await_resume()};
  }

 private:
  Task<A> a_;
  Task<B> b_;
  int unfinished_ = 3;  ///< the third is await_suspend() itself
};

template <class A, class B>
Both<A, B> both(Task<A> a, Task<B> b) {
  return {std::move(a), std::move(b)};
}

/// A T (a Result) that comes later, on the loop. The work begins with `co_await` or then().
template <class T>
class [[nodiscard]] Async {
 public:
  using Done = UniqueFunction<void(T)>;
  using Start = UniqueFunction<void(const Cancellation*, Done)>;

  /// `start` passes a T to its `done`, once, now or later.
  explicit Async(Start start) : start_(std::move(start)) {}

  /// For callers that are not coroutines: `done` gets the T.
  void then(Done done) && { start_(nullptr, std::move(done)); }

  bool await_ready() const noexcept { return false; }
  template <class Parent>
  bool await_suspend(std::coroutine_handle<Parent> parent) {
    const PromiseBase& promise = parent.promise();
    if (promise.isCancelled()) {
      result_.emplace(Cancellation::error());
      return false;
    }
    start_(promise.cancellation, [this, parent](T result) {
      result_.emplace(std::move(result));
      if (suspended_) parent.resume();
    });
    suspended_ = !result_;
    return suspended_;
  }
  T await_resume() { return std::move(*result_); }

 private:
  Start start_;
  std::optional<T> result_;
  bool suspended_ = false;
};

/// `begin(done)` starts the operation, which passes a T to `done`.
template <class T, class Begin>
Async<T> async(Begin begin) {
  return Async<T>(
      [begin = std::move(begin)](const Cancellation*, typename Async<T>::Done done) mutable {
        begin(std::move(done));
      });
}

/// Makes `work` a job, which `add` puts into a lane.
template <class Work, class Add>
auto asyncJob(Work work, Add add) {
  using Outcome = std::invoke_result_t<Work&>;
  return Async<Outcome>(
      [work = std::move(work), add = std::move(add)](const Cancellation* cancellation,
                                                     typename Async<Outcome>::Done done) mutable {
        auto unlessCancelled = [work = std::move(work), cancellation]() mutable -> Outcome {
          if (cancellation != nullptr && cancellation->requested()) return Cancellation::error();
          return work();
        };
        add(makeJob(std::move(unlessCancelled), std::move(done)));
      });
}

/// The tasks of one loop that no coroutine awaits. Must outlive the lanes whose jobs they await.
class Tasks {
 public:
  Tasks() = default;
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;
  /// Destroys the tasks that have not ended, where they wait.
  ~Tasks();

  /// Runs `task` up to its first wait. An exception of it is logged, and its frame is destroyed: a
  /// Responder in it, for example, then answers 42.
  void start(Task<void> task, std::shared_ptr<const Cancellation> cancellation = nullptr);

  std::size_t running() const { return running_.size(); }

 private:
  friend struct Promise<void>;
  void remove(Promise<void>& ended) noexcept;

  IntrusiveList<Promise<void>> running_;
};

}  // namespace egalaxyd
