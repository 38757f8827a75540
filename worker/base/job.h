// A piece of work for another thread, and what is done with its result.
#pragma once

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/poco_seam.h"
#include "common/base/result.h"

namespace egalaxyd {

/// Calls `work()`, which returns a Result; an exception becomes kIo.
template <class Work>
std::invoke_result_t<Work&> resultOf(Work& work) {
  auto done = contained("a job", work);
  if (!done) return std::move(done).error();
  return std::move(done).value();
}

/// Created and answered on the loop, run on a thread of a lane.
class Job {
 public:
  virtual ~Job() = default;
  /// Must not throw. May run again until it is settled.
  virtual void run() = 0;
  /// What it gave is its result: it lets go of what only run() needs.
  virtual void settle() = 0;
  /// Makes `error` the result, instead of run() or in place of what it gave, and settles.
  virtual void fail(const Error& error) = 0;
  virtual void answer() = 0;
};
using Jobs = std::vector<std::unique_ptr<Job>>;

/// `work()` returns a Result, which `done(result)` gets. `work` is destroyed where it ran, once
/// that is settled.
template <class Work, class Done>
class TypedJob final : public Job {
 public:
  using Outcome = std::invoke_result_t<Work&>;
  static_assert(std::is_constructible_v<Outcome, Error>, "work() returns a Result");

  TypedJob(Work work, Done done) : work_(std::move(work)), done_(std::move(done)) {}
  void run() override { result_.emplace(resultOf(*work_)); }
  void settle() override { work_.reset(); }
  void fail(const Error& error) override {
    settle();
    result_.emplace(error);
  }
  void answer() override { done_(std::move(*result_)); }

 private:
  std::optional<Work> work_;
  Done done_;
  std::optional<Outcome> result_;
};

template <class Work, class Done>
std::unique_ptr<Job> makeJob(Work work, Done done) {
  return std::make_unique<TypedJob<Work, Done>>(std::move(work), std::move(done));
}

}  // namespace egalaxyd
