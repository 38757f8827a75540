// One master's plan and the workers that it has sent: who runs, who waits, who is told what.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "common/shared/launcher_plan.h"
#include "common/shared/launcher_protocol.h"
#include "master/launcher/dial.h"
#include "master/launcher/packet_socket.h"
#include "master/launcher/run_queue.h"
#include "master/launcher/script_processes.h"
#include "master/launcher/upstream_addresses.h"

namespace egalaxyd {

/// In the launcher, loop thread only. Believes the master; a worker that asks what it may not is
/// reported to the master and heard no more, and its runs are stopped.
class LauncherSession final : private ScriptOwner {
 public:
  /// `over` is called once, when the master has gone or said that no worker comes any more, and the
  /// last worker's channel has closed and its last run is over. It must not destroy this.
  LauncherSession(EventLoop& loop, ScriptProcesses& processes, const OwnAccount& account,
                  UniqueFd master, std::function<void()> over);

 private:
  struct Worker {
    std::int64_t id = 0;
    std::unique_ptr<PacketSocket> socket;
    std::map<std::uint32_t, std::uint64_t> runs;  ///< its numbers, ours
    std::map<std::uint32_t, std::unique_ptr<Dial>> dials;
    bool gone = false;  ///< it may be forgotten
  };
  /// One RunScript, from its arrival to the end of its last process.
  struct Job {
    std::uint64_t worker = 0;
    RunScript ask;
    const ScriptMount* mount = nullptr;
    Clock::time_point since;
    pid_t pid = 0;  ///< 0: it waits, or is about to start
    bool placed = false;
  };

  void onMaster(std::string_view packet, std::vector<UniqueFd> files);
  void take(const TakePlan& message, std::vector<UniqueFd> files);
  void take(const TakeWorker& message, std::vector<UniqueFd> files);
  void take(const ListScripts& message, std::vector<UniqueFd> files);
  void take(const StopProcess& message, std::vector<UniqueFd> files);
  void take(const FinishRuns& message, std::vector<UniqueFd> files);
  void say(const LauncherSays& message) { master_.send(encode(message)); }
  void finish();
  RunningScript described(std::uint64_t run, const Job& job) const;

  void onWorker(std::uint64_t key, std::string_view packet);
  void obey(std::uint64_t key, Worker& worker, RunScript ask);
  void obey(std::uint64_t key, Worker& worker, const StopScript& ask);
  void obey(std::uint64_t key, Worker& worker, const DialUpstream& ask);
  void drop(std::uint64_t key, const std::string& lie);
  void answer(std::uint64_t key, const LauncherAnswers& message, std::vector<UniqueFd> files = {});
  /// The last thing that the worker hears of `run`.
  void refuse(std::uint64_t run, WhyNot why, const std::string& text);
  void release(std::uint64_t run);
  void onAddresses();
  Dial& dialOn(std::uint64_t key, std::uint32_t number);
  void onDialled(std::uint64_t key, std::uint32_t number, Result<UniqueFd> socket);

  void start(std::uint64_t run);
  void startNext();
  void onLate();
  void forget(std::uint64_t run);
  void tidy();

  void started(std::uint64_t run, pid_t pid, UniqueFd output, UniqueFd errors) override;
  void failed(std::uint64_t run, const StartFailure& why) override;
  void ended(std::uint64_t run, const ScriptExit& exit) override;
  void over(std::uint64_t run) override;

  EventLoop& loop_;
  ScriptProcesses& processes_;
  const OwnAccount& account_;
  std::function<void()> over_;
  PacketSocket master_;
  bool finishing_ = false;
  LauncherPlan plan_;  ///< of queue_ on
  UniqueFd spool_;
  UniqueFd ruleset_;
  std::optional<RunQueue> queue_;
  std::unique_ptr<UpstreamAddresses> addresses_;
  /// Of which worker: asked before the names had been looked up.
  std::vector<std::pair<std::uint64_t, DialUpstream>> early_;
  std::uint64_t lastWorker_ = 0;
  std::map<std::uint64_t, Worker> workers_;
  std::map<std::uint64_t, Job> jobs_;
  Timer late_;
  Timer tidy_;  ///< what has ended goes when nothing of it is on the stack
};

}  // namespace egalaxyd
