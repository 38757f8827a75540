// Which workers should exist, and when: events in, actions out. No fork, no clock, no signal.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/result.h"
#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Names one worker process. At most one process has this name at a time.
struct WorkerKey {
  std::uint64_t generation = 0;
  std::uint32_t number = 0;
  std::uint32_t life = 0;  ///< grows when a successor takes the place while the old one drains
  auto operator<=>(const WorkerKey&) const = default;
};

struct SupervisorPolicy {
  std::chrono::milliseconds readyTimeout{10'000};  ///< from spawn to ready; then it is killed
  std::chrono::milliseconds quickDeath{1'000};  ///< dead within this of being ready: a quick death
  std::chrono::milliseconds firstPause{100};    ///< after a quick death; doubles with each in a row
  std::chrono::milliseconds longestPause{30'000};
  std::chrono::milliseconds healthy{60'000};  ///< alive this long: its quick deaths are forgotten
  std::chrono::milliseconds channelClosedTimeout{
      2'000};                                 ///< its channel is closed: time to end by itself
  std::chrono::milliseconds drainGrace{500};  ///< beyond its drain timeout, to end by itself
  unsigned firstStartTries = 3;               ///< per worker, before anything ever served
  std::size_t mostWorkers = 256;              ///< processes that may exist at once
};

/// Fork it; then report workerReady, workerRefused or workerExited.
struct SpawnWorker {
  WorkerKey worker;
};
struct AskToDrain {
  WorkerKey worker;
};
/// SIGKILL; workerExited follows.
struct KillWorker {
  WorkerKey worker;
};
/// A reload begins: read the configuration, then call generationBuilt or generationRejected.
struct BuildGeneration {};
/// All its workers are ready, and the workers of older generations accept no more connections.
struct GenerationServes {
  std::uint64_t generation = 0;
};
/// The reload failed; the generation that served before serves on.
struct GenerationFailed {
  std::uint64_t generation = 0;
  std::string why;
};
/// What restartWorkers() began is over; `failure` is "" when all were replaced.
struct RestartEnded {
  std::string failure;
};
/// Everything of this generation has ended.
struct GenerationGone {
  std::uint64_t generation = 0;
};
/// For the log.
struct Report {
  bool problem = false;
  std::string text;
};
/// No worker is left: end with this code. 69 when the first workers died, 78 when they refused.
struct Leave {
  int exitCode = 0;
};
using Action = std::variant<SpawnWorker, AskToDrain, KillWorker, BuildGeneration, GenerationServes,
                            GenerationFailed, GenerationGone, RestartEnded, Report, Leave>;
using Actions = std::vector<Action>;

/// How a worker ended, in words: "exited with code 11 (left something open)".
struct ExitCause {
  bool clean = false;  ///< as a worker ends that was asked to leave
  std::string words;
};

enum class WorkerState { kPausing, kStarting, kReady, kDraining, kKilled, kEnded };
/// "ready".
std::string_view nameOf(WorkerState state);

/// One worker as it is now, for people.
struct WorkerView {
  WorkerKey key;
  WorkerState state = WorkerState::kEnded;
  unsigned restarts = 0;  ///< how often its place was filled anew
  std::string lastCause;  ///< of the last time; "" when there was none
};

class Supervisor {
 public:
  using Time = Clock::time_point;
  using Duration = std::chrono::milliseconds;

  explicit Supervisor(SupervisorPolicy policy = {}) : policy_(policy) {}

  /// The first generation. `drainTimeout` counts for its workers when they are asked to leave.
  Actions start(std::uint64_t generation, std::uint32_t workers, Duration drainTimeout, Time now);

  /// Asks for BuildGeneration now, or once a reload under way has ended and there is room for the
  /// new workers. Calls that come in between count as one.
  Actions reload(Time now);
  /// The answers to BuildGeneration.
  Actions generationBuilt(std::uint64_t generation, std::uint32_t workers, Duration drainTimeout,
                          Time now);
  Actions generationRejected(Time now);

  /// Replaces that worker of the serving generation, or all of them one by one: a successor is
  /// started, and once it is ready the old one drains. RestartEnded follows. Fails when there is no
  /// such worker, or when something else is under way.
  Result<Actions> restartWorkers(std::optional<std::uint32_t> number, Time now);

  Actions workerReady(WorkerKey worker, Time now);
  /// It was asked to drain, and accepts no more connections.
  Actions workerClosed(WorkerKey worker, Time now);
  /// It said why it cannot serve, and whether that may pass by itself; its exit follows.
  Actions workerRefused(WorkerKey worker, std::string_view why, bool mayPass, Time now);
  /// It did something that no sound worker does: kill it. `what`, for the log: "sent an invalid
  /// message".
  Actions workerMisbehaved(WorkerKey worker, std::string_view what, Time now);
  /// Its channel is closed; normally its exit follows at once.
  Actions workerChannelClosed(WorkerKey worker, Time now);
  /// A worker that could not be forked ends here too.
  Actions workerExited(WorkerKey worker, const ExitCause& cause, Time now);

  /// First call: all drain, then Leave{0}. Second call: all are killed.
  Actions stop(Time now);
  /// To be called at nextDeadline(), or any time.
  Actions tick(Time now);
  std::optional<Time> nextDeadline() const;

  bool stopping() const { return exitCode_.has_value(); }
  /// The newest generation that became ready; 0 before that.
  std::uint64_t serving() const { return serving_; }
  std::size_t liveWorkers() const;
  /// Those of every generation, places without a process included.
  std::vector<WorkerView> workers() const;

 private:
  enum class Phase {
    kStarting,  ///< waiting for all to be ready
    kServing,
    kLeaving,  ///< nothing is spawned any more
  };
  using State = WorkerState;
  struct Worker {
    WorkerKey key;
    State state = State::kEnded;
    std::optional<Time> deadline;  ///< of the state; onDeadline() acts on it
    Time readySince{};
    bool wasReady = false;
    bool closed = false;  ///< it accepts nothing any more
    unsigned quickDeaths = 0;
    unsigned restarts = 0;
    std::string lastCause;
  };
  struct Generation {
    std::uint64_t number = 0;
    Phase phase = Phase::kStarting;
    Duration drainTimeout{};
    std::size_t places = 0;
    /// The places; behind them successors that are not ready and workers that were succeeded.
    std::vector<Worker> workers;
  };
  struct Restart {
    std::deque<std::uint32_t> waiting;  ///< numbers of those that have no successor yet
    WorkerKey successor;                ///< the one that is being waited for
  };

  static bool alive(const Worker& worker);
  static std::string nameOf(const Worker& worker);
  Generation* generationOf(std::uint64_t number);
  /// Null unless a process of that name is thought to exist.
  Worker* living(WorkerKey key);
  bool busy() const;
  bool hasRoom(std::size_t more) const;
  std::size_t sizeOf(std::uint64_t generation) const;

  void begin(std::uint64_t number, std::uint32_t workers, Duration drainTimeout, Time now);
  void spawn(Worker& worker, Time now);
  void kill(Worker& worker);
  void killAll(Generation& generation);
  void ask(const Generation& generation, Worker& worker, Time now);
  void drain(Generation& generation, Time now);
  void startSuccessor(Time now);
  void succeed(Generation& generation, Worker& successor, Time now);
  void endRestart(std::string failure);
  /// It stands behind the places (a successor, or one that was succeeded): its death leaves no
  /// place empty.
  static bool isExtra(const Generation& generation, const Worker& worker);
  void giveUp(std::string why, int exitCode);
  void fail(Generation& generation, std::string why, Time now);
  void replace(Worker& worker, const ExitCause& cause, Time now);
  void checkAllReady(Generation& generation, Time now);
  void onDeadline(Generation& generation, Worker& worker, Time now);
  void report(bool problem, std::string text);
  void announce();
  Actions settle();

  SupervisorPolicy policy_;
  std::vector<Generation> generations_;  ///< oldest first
  std::uint64_t serving_ = 0;
  bool building_ = false;  ///< BuildGeneration was asked for and not answered
  bool reloadWanted_ = false;
  bool announced_ = true;  ///< GenerationServes was emitted for serving_
  std::optional<Restart> restart_;
  std::optional<int> exitCode_;  ///< set once the server is stopping
  bool left_ = false;            ///< Leave was emitted
  Actions actions_;              ///< of the call under way
};

}  // namespace egalaxyd
