#include "worker/base/task.h"

#include <spdlog/spdlog.h>

#include <new>

#include "common/base/poco_seam.h"
#include "common/system/log.h"

namespace egalaxyd {
namespace {

std::coroutine_handle<Task<void>::promise_type> frameOf(Promise<void>& promise) {
  return std::coroutine_handle<Task<void>::promise_type>::from_promise(
      static_cast<Task<void>::promise_type&>(promise));
}

void report(const std::exception_ptr& thrown) noexcept {
  try {
    const auto ended = contained("a task", [&] { std::rethrow_exception(thrown); });
    if (!ended) spdlog::error("{}; it was ended", logQuote(ended.error().message));
  } catch (const std::bad_alloc&) {
    // It was for the log alone.
  }
}

}  // namespace

void Promise<void>::leaveTasks() noexcept {
  if (tasks == nullptr) return;
  if (thrown) report(thrown);
  tasks->remove(*this);
  frameOf(*this).destroy();
}

Tasks::~Tasks() {
  while (Promise<void>* waiting = running_.front()) {
    running_.remove(*waiting);
    frameOf(*waiting).destroy();
  }
}

void Tasks::start(Task<void> task, std::shared_ptr<const Cancellation> cancellation) {
  const auto frame = std::exchange(task.frame_, nullptr);
  Promise<void>& promise = frame.promise();
  promise.tasks = this;
  promise.cancellation = cancellation.get();
  promise.held = std::move(cancellation);
  running_.append(promise);
  frame.resume();
}

void Tasks::remove(Promise<void>& ended) noexcept { running_.remove(ended); }

}  // namespace egalaxyd
