// The processes of scripts, from fork to the last one that a script has left behind.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/loop/event_loop.h"
#include "master/launcher/oom_score.h"
#include "master/launcher/script_process.h"

namespace egalaxyd {

struct ScriptExit {
  int exitCode = 0;  ///< if `signal` is 0
  int signal = 0;
  std::uint64_t cpuMs = 0;
  bool stopped = false;  ///< by us
};

/// Whose runs these are. The calls come from the loop, in this order: started() or failed(); after
/// started(), ended(); at last over(). Each may begin and stop runs.
class ScriptOwner {
 public:
  virtual void started(std::uint64_t run, pid_t pid, UniqueFd output, UniqueFd errors) = 0;
  /// It could not be executed.
  virtual void failed(std::uint64_t run, const StartFailure& why) = 0;
  /// The main process has ended; others of the run may be there still.
  virtual void ended(std::uint64_t run, const ScriptExit& exit) = 0;
  /// Nothing is left of it.
  virtual void over(std::uint64_t run) = 0;

 protected:
  ~ScriptOwner() = default;
};

/// One in a process, made before denyTracing(), whose only children are scripts: it collects and
/// ends whatever it inherits from them (PR_SET_CHILD_SUBREAPER). Loop thread only.
///
/// A run is over when this process has no child any more that has the run's tag: a process whose
/// parent ends becomes a child of this one, so nothing of a run can be elsewhere for long. A child
/// without a tag that belongs to a run is killed when it is seen.
class ScriptProcesses {
 public:
  explicit ScriptProcesses(EventLoop& loop) : loop_(loop) {}

  /// A number for a run: never one twice, above 0.
  std::uint64_t nextRun() { return ++last_; }
  /// `run` is of nextRun(), and ScriptOrder::tag. `owner` outlives the run.
  Result<void> start(std::uint64_t run, const ScriptOrder& order, ScriptOwner& owner);
  /// After `grace` its processes get TERM, and KILL two seconds later, until none is left. Unknown
  /// runs are over.
  void stop(std::uint64_t run, std::chrono::milliseconds grace);
  /// User and system time of its main process so far.
  std::chrono::milliseconds cpuTime(std::uint64_t run) const;

  /// A child has ended (SIGCHLD).
  void collect();

 private:
  struct Run {
    enum class Stage { kRuns, kStopping, kTerminated, kKilled };
    Run(EventLoop& loop, ScriptOwner& owner_, ForkedScript forked_, std::function<void()> onReport,
        std::function<void()> onTime)
        : owner(owner_),
          forked(std::move(forked_)),
          report(loop, [onReport](IoEvents) { onReport(); }),
          timer(loop, std::move(onTime)) {}

    ScriptOwner& owner;
    ForkedScript forked;
    Watch report;
    Timer timer;                                      ///< for the next stage
    std::optional<Clock::time_point> leftoversUntil;  ///< when the main process has ended
    Stage stage = Stage::kRuns;
    bool failed = false;  ///< to become the script
    bool ended = false;   ///< its main process is no more
  };
  using Runs = std::map<std::uint64_t, std::unique_ptr<Run>>;

  void onReport(std::uint64_t number, Run& run);
  void onTime(std::uint64_t number, Run& run);
  void terminate(std::uint64_t number, Run& run);
  void signal(std::uint64_t number, const Run& run, int signal) const;
  void endMain(std::uint64_t number, Run& run, int status, std::uint64_t cpuMs);
  void sweep(const std::vector<pid_t>& children);
  bool isMain(pid_t pid) const { return mains_.contains(pid); }

  EventLoop& loop_;
  const OomScore score_;
  std::uint64_t last_ = 0;
  Runs runs_;
  std::unordered_map<pid_t, std::uint64_t> mains_;  ///< that live
};

}  // namespace egalaxyd
