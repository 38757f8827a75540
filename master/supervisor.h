// Which workers should exist, and when: events in, actions out. No fork, no clock, no signal.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/event_loop.h"

namespace egalaxyd {

/// One worker's place: a process of this name exists at most once at a time.
struct WorkerKey {
  std::uint64_t generation = 0;
  std::uint32_t number = 0;
  auto operator<=>(const WorkerKey&) const = default;
};

struct SupervisorPolicy {
  std::chrono::milliseconds readyLid{10'000};   ///< from spawn to ready; then it is killed
  std::chrono::milliseconds quickDeath{1'000};  ///< dead within this of being ready: a quick death
  std::chrono::milliseconds firstPause{100};    ///< after a quick death; doubles with each in a row
  std::chrono::milliseconds longestPause{30'000};
  std::chrono::milliseconds healthy{60'000};  ///< alive this long: its quick deaths are forgotten
  std::chrono::milliseconds mutedLid{2'000};  ///< its channel is closed: time to end by itself
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
/// All its workers are ready; what went before it drains.
struct GenerationServes {
  std::uint64_t generation = 0;
};
/// The reload came to nothing; what served before serves on.
struct GenerationFailed {
  std::uint64_t generation = 0;
  std::string why;
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
/// No worker is left: end with this code.
struct Leave {
  int exitCode = 0;
};
using Action = std::variant<SpawnWorker, AskToDrain, KillWorker, BuildGeneration, GenerationServes,
                            GenerationFailed, GenerationGone, Report, Leave>;
using Actions = std::vector<Action>;

/// How a worker ended, in words: "exited with code 11 (left something open)".
struct ExitCause {
  bool clean = false;  ///< as a worker ends that was asked to leave
  std::string words;
};

class Supervisor {
 public:
  using Time = Clock::time_point;
  using Duration = std::chrono::milliseconds;

  explicit Supervisor(SupervisorPolicy policy = {}) : policy_(policy) {}

  /// The first generation. `drainTimeout` counts for its workers when they are asked to leave.
  Actions start(std::uint64_t generation, std::uint32_t workers, Duration drainTimeout, Time now);

  /// Asks for BuildGeneration now, or once a reload under way has ended and there is room for the
  /// new workers. Wishes that come meanwhile are one wish.
  Actions reload(Time now);
  /// The answers to BuildGeneration.
  Actions generationBuilt(std::uint64_t generation, std::uint32_t workers, Duration drainTimeout,
                          Time now);
  Actions generationRejected(Time now);

  Actions workerReady(WorkerKey worker, Time now);
  /// It said why it cannot serve; its exit follows.
  Actions workerRefused(WorkerKey worker, std::string_view why, Time now);
  /// It said something that no worker says.
  Actions workerMisbehaved(WorkerKey worker, Time now);
  /// Its channel is closed; normally its exit follows at once.
  Actions workerMuted(WorkerKey worker, Time now);
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

 private:
  enum class Phase {
    kStarting,  ///< waiting for all to be ready
    kServing,
    kLeaving,  ///< nothing is spawned any more
  };
  enum class State { kPausing, kStarting, kReady, kDraining, kKilled, kEnded };
  struct Worker {
    WorkerKey key;
    State state = State::kEnded;
    std::optional<Time> deadline;  ///< of the state: what happens then, tick() knows
    Time readySince{};
    bool wasReady = false;
    unsigned quickDeaths = 0;
    std::string refusal;
  };
  struct Generation {
    std::uint64_t number = 0;
    Phase phase = Phase::kStarting;
    Duration drainTimeout{};
    std::vector<Worker> workers;
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
  void drain(Generation& generation, Time now);
  void giveUp(std::string why);
  void fail(Generation& generation, std::string why);
  void replace(Worker& worker, const ExitCause& cause, Time now);
  void checkAllReady(Generation& generation, Time now);
  void onDeadline(Generation& generation, Worker& worker, Time now);
  void report(bool problem, std::string text);
  Actions settle();

  SupervisorPolicy policy_;
  std::vector<Generation> generations_;  ///< oldest first
  std::uint64_t serving_ = 0;
  bool building_ = false;  ///< BuildGeneration was asked for and not answered
  bool reloadWanted_ = false;
  std::optional<int> exitCode_;  ///< set: on the way out
  bool left_ = false;            ///< Leave was said
  Actions actions_;              ///< of the call under way
};

}  // namespace egalaxyd
