// The master as the control desk sees it: a look at what is, and things to ask for.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "master/control/statistics.h"
#include "master/supervise/generation.h"
#include "master/supervise/launcher_keeper.h"
#include "master/supervise/supervisor.h"

namespace egalaxyd {

enum class MasterState { kStarting, kServing, kStopping };
/// "serving".
constexpr std::string_view nameOf(MasterState state) {
  return state == MasterState::kStarting  ? "starting"
         : state == MasterState::kServing ? "serving"
                                          : "stopping";
}

/// When something began. `age` is steady when the machine's clock is set.
struct Beginning {
  std::chrono::system_clock::time_point time = std::chrono::system_clock::now();
  Clock::time_point clock = Clock::now();

  std::int64_t age() const {
    return std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - clock).count();
  }
};

/// What only a worker that was forked has.
struct RunningWorker {
  pid_t pid = 0;
  Beginning since = {};
  std::size_t sharedSlot = 0;
  Totals before = {};  ///< of that slot, when the worker was forked
};

struct WorkerStatus {
  WorkerView view;
  std::optional<RunningWorker> process;  ///< none: its place waits for a process
};

/// The master at this moment; `current` may be gone when the loop goes on.
struct MasterView {
  MasterState state = MasterState::kStarting;
  std::uint64_t serving = 0;  ///< the generation that serves; 0: none does yet
  const Generation& current;  ///< that one; before it serves, the first
  SharedState& shared;
  Beginning started = {};
  uid_t owner = 0;                         ///< what the master runs as
  std::vector<uid_t> workerAccounts = {};  ///< of all generations
  std::vector<WorkerStatus> workers = {};  ///< of all generations
  std::string storageTrouble = {};         ///< why the database does not work; "": it does
  std::vector<ServedPlace> away = {};      ///< what cannot be served now
  std::vector<std::string> certificateTroubles = {};  ///< why changed ones are not taken up
  std::vector<LauncherView> launchers = {};           ///< of all generations
};

/// Master only, on its loop. How reload, restart and stop end is told to the desk later, or before
/// the call returns.
class ManagedMaster {
 public:
  virtual MasterView view() const = 0;
  virtual void reload() = 0;
  /// As reload(), but with the configuration that runs: certificates are read anew.
  virtual void renew() = 0;
  /// One worker of the generation that serves; none: all of them. Fails, in words for the client,
  /// when there is no such worker or something else is under way.
  virtual Result<void> restartWorkers(std::optional<std::uint32_t> number) = 0;
  virtual void stop() = 0;
  /// Of the master and its workers, until the next reload.
  virtual void changeLogLevel(LogLevel level) = 0;
  /// The id of a process that is about to be forked and changes files as a worker does.
  virtual std::int64_t nextUploader() = 0;
  /// What it had begun when it ended is to be settled.
  virtual void uploaderEnded(std::int64_t uploader) = 0;
  /// See LauncherKeeper.
  virtual void listScripts(LauncherKeeper::Answered answered) = 0;
  virtual void stopScript(pid_t pid, LauncherKeeper::Answered answered) = 0;

 protected:
  ~ManagedMaster() = default;
};

}  // namespace egalaxyd
