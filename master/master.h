// The master process once it knows its configuration: binds, forks, respawns, reloads, stops.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/config_loader.h"
#include "common/loop/event_loop.h"
#include "common/loop/signal_source.h"
#include "common/shared/fault_ring.h"
#include "common/shared/shared_state.h"
#include "common/system/instance_lock.h"
#include "master/child/query_runner.h"
#include "master/child/upload_settler.h"
#include "master/control/control_desk.h"
#include "master/control/managed_master.h"
#include "master/start/service_manager.h"
#include "master/status/status_keeper.h"
#include "master/supervise/certificate_watch.h"
#include "master/supervise/generation.h"
#include "master/supervise/launcher_keeper.h"
#include "master/supervise/spawner.h"
#include "master/supervise/supervisor.h"

namespace egalaxyd {

/// What the program around the master does for it; a test replaces what forks.
struct MasterHooks {
  /// The configuration as it is now, for a reload.
  std::function<LoadedConfig()> load;
  /// All is bound and read; workers are forked next.
  std::function<Result<void>()> beforeFork;
  /// All workers of the first generation are ready, and its URLs have been tried where `tryUrls`.
  std::function<void(const Generation& first, const std::vector<ServedUrl>& urls)> ready;
  bool tryUrls = false;
  std::function<Result<SpawnedWorker>(WorkerSetup setup, const std::function<void()>& forgetMaster)>
      spawn = spawnWorker;
  SupervisorPolicy policy{.mostWorkers = SharedState::kSlots};
  /// How long after a generation began to serve, and then again, certificates are looked at.
  Clock::duration certificateLooks = std::chrono::hours(24);
};

/// One per process; single-threaded for its whole life, since it forks. It survives whatever a
/// worker does.
class Master final : private ManagedMaster {
 public:
  explicit Master(MasterHooks hooks);
  ~Master();

  /// Takes the state folder, opens the log, sockets, certificates and roots. `config` was
  /// checked.
  std::optional<Failure> prepare(const Config& config);
  /// Serves until it is told to stop; the exit code. Once, after prepare().
  int run();

 private:
  struct Process;
  /// Null: it could not be forked, or has ended (which the supervisor knows, or is told next).
  Process* processOf(WorkerKey worker) const;
  /// Null: it has gone.
  Generation* generationOf(std::uint64_t number) const;
  const Generation& current() const;

  std::optional<Failure> takeStateAndLog(const Config& config);

  MasterView view() const override;
  void reload() override;
  void renew() override;
  Result<void> restartWorkers(std::optional<std::uint32_t> number) override;
  void stop() override;
  void changeLogLevel(LogLevel level) override;
  std::int64_t nextUploader() override { return uploads_->nextWorker(); }
  void uploaderEnded(std::int64_t uploader) override { uploads_->workerEnded(uploader); }
  void listScripts(LauncherKeeper::Answered answered) override {
    launchers_->listScripts(std::move(answered));
  }
  void stopScript(pid_t pid, LauncherKeeper::Answered answered) override {
    launchers_->stopScript(pid, std::move(answered));
  }

  void onSignal(int signal);
  void onStopSignal(int signal);
  std::string underWay() const;
  void reopenLogs();
  void reopenLog(Generation& generation);
  void handOver(const Generation& generation, std::size_t place);
  void onChannel(Process& process);
  void onMessage(Process& process, const WorkerChannel::Received& received);
  void onEnded(WorkerKey worker);
  void checkWorkers();
  void mendListeners();
  bool noteRoot(Process& process, std::string_view text) const;
  std::vector<ServedPlace> placesAway() const;
  void followRoots();
  void lookAtCertificates();
  void lookForRenewed();
  void onLook(const Result<std::string>& found);
  void noteKeys(const Generation& serving);

  /// Carries out `actions` in order, those included that carrying out brings about.
  void perform(Actions actions);
  void act(const SpawnWorker& action);
  void act(const AskToDrain& action);
  void act(const KillWorker& action);
  void act(const BuildGeneration& action);
  void announce(const Generation& first);
  bool tryThenTell(std::vector<ServedUrl> urls);
  void tell(const Generation& first, const std::vector<ServedUrl>& urls);
  void onRehearsed(const Result<std::string>& answer);
  LoadedConfig loadForReload(bool tell) const;
  const ServingPlan* keptPlan() const;
  void act(const GenerationServes& action);
  void act(const GenerationFailed& action);
  void act(const GenerationGone& action);
  void act(const RestartEnded& action);
  void act(const Report& action);
  void act(const Leave& action);

  LauncherHooks launcherHooks();
  void beginLaunchers(const Generation& generation);
  Process* processOf(std::int64_t worker) const;
  Result<void> spawn(WorkerKey worker);
  void forgetInChild(const Generation& mine);
  std::optional<std::size_t> takeSlot();
  void giveSlotBack(std::size_t slot);
  void rejectReload(const Failure& failure);
  void tellReloadFailed(std::vector<std::string> complaints);
  void letNobodyElseIn(const Generation& generation, const ListenerSet& kept) const;
  void closeOlderListeners(std::uint64_t number);
  void servePage(const Generation& generation);
  void armTick();
  std::string status() const;

  MasterHooks hooks_;
  std::unique_ptr<EventLoop> loop_ = std::make_unique<EventLoop>();
  std::unique_ptr<SharedState> shared_;
  std::vector<bool> slotTaken_ = std::vector<bool>(SharedState::kSlots);
  std::optional<InstanceLock> lock_;
  std::vector<InheritedSocket> inherited_;
  std::map<std::uint64_t, std::unique_ptr<Generation>> generations_;
  std::uint64_t newest_ = 1;

  Supervisor supervisor_{hooks_.policy};
  std::deque<Action> pending_;
  bool performing_ = false;
  bool announced_ = false;  ///< the first generation serves
  std::map<WorkerKey, std::unique_ptr<Process>> processes_;
  std::optional<SignalSource> signals_;
  std::optional<ServiceManager> service_;
  std::optional<Timer> tick_;
  std::optional<Timer> liveness_;
  std::optional<Timer> certificates_;
  std::optional<Timer> watchTimer_;    ///< for the next lookForRenewed()
  std::set<int> deadListeners_;        ///< cannot be made to listen again; the log has said so
  std::unique_ptr<ControlDesk> desk_;  ///< there since run()
  FaultRing faults_{};                 ///< what the master's own log last said
  std::unique_ptr<StatusKeeper> page_;
  std::unique_ptr<LauncherKeeper> launchers_;  ///< there since run()
  std::unique_ptr<UploadSettler> uploads_;
  std::unique_ptr<QueryRunner> rehearsals_;  ///< a reload's first half
  std::unique_ptr<QueryRunner> urlTrial_;    ///< once, at the start
  std::unique_ptr<QueryRunner> looks_;       ///< one lookForRenewed() at a time
  CertificateWatch watch_;
  std::string lookTrouble_;                        ///< why the last look came to nothing; ""
  std::map<std::string, std::string> publicKeys_;  ///< by host, of the generation that serves
  bool readConfiguration_ = false;                 ///< the next reload is not a mere renewal
  bool renewing_ = false;                          ///< the reload under way is one
  const Beginning started_;
  std::uint64_t loggedBy_ = 1;         ///< the generation whose [log] is the master's
  std::optional<LogLevel> logLevel_;   ///< asked for at run time; until the next reload
  StorageConfig storage_;              ///< as it was configured when the master began
  std::string storageTrouble_;         ///< what was last heard; "": the database is well
  Clock::time_point nextFollowing_{};  ///< before that no worker is replaced for its sandbox's sake
  Clock::duration followPause_;        ///< the next one; the least once all are within reach
  Clock::time_point stopAsked_{};
  bool hurry_ = false;  ///< a stop was asked for twice
  int exitCode_ = 0;
};

}  // namespace egalaxyd
