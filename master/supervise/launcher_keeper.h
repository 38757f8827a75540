// Keeps the launchers of every generation, gives workers channels to them, and asks them what runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "common/shared/launcher_protocol.h"
#include "common/system/privilege.h"
#include "master/child/forked_process.h"
#include "master/supervise/launcher_plans.h"

namespace egalaxyd {

using LaunchHook =
    std::function<Result<ForkedProcess>(UniqueFd channel, const std::optional<Account>& account)>;
/// Starts egalaxyd-launcher, which lies beside this program, as it is at this call, whatever an
/// upgrade puts in its place: with `channel` as descriptor 3, no other of the master's but standard
/// output and error, and no environment. It becomes `account` for good, if there is one. Whoever
/// calls the hook must have one thread.
LaunchHook launcherStarter();

/// What the keeper needs of the master; a test replaces what forks.
struct LauncherHooks {
  /// Ids of a generation's workers that are forked and have not ended.
  std::function<std::vector<std::int64_t>(std::uint64_t generation)> workers;
  /// The worker is to talk to that launcher over `socket` from now on.
  std::function<void(std::int64_t worker, std::uint32_t launcher, const UniqueFd& socket)> handOver;
  /// A worker of that generation, as its launcher says, has said what no worker says.
  std::function<void(std::uint64_t generation, std::int64_t worker, const std::string& what)> lied;
  LaunchHook launch = launcherStarter();
  /// One that does not answer several times in a row is replaced.
  Clock::duration betweenLooks = std::chrono::seconds(5);
};

struct ListedScript {
  std::string account;
  RunningScript script;
};
/// What all launchers together answered within kLauncherPatience.
struct LaunchersAnswer {
  std::vector<ListedScript> scripts;  ///< to listScripts()
  std::uint64_t more = 0;             ///< that are not in the list
  bool found = false;                 ///< to stopScript()
  std::size_t silent = 0;             ///< launchers that gave no answer
};
inline constexpr std::chrono::seconds kLauncherPatience{2};

/// One launcher, for those who look.
struct LauncherView {
  ScriptAccount account;
  pid_t pid = 0;  ///< 0: systemd's, or there is none now
};

/// Master only, on its loop; never waits. A launcher that ends, hangs or says nonsense is replaced,
/// with growing pauses when that does not help; its generation's workers get new channels then.
/// What scripts of a dead one have left becomes the master's (PR_SET_CHILD_SUBREAPER), which ends
/// it.
class LauncherKeeper {
 public:
  using Answered = std::function<void(const LaunchersAnswer&)>;

  LauncherKeeper(EventLoop& loop, LauncherHooks hooks);
  /// Kills those that are left.
  ~LauncherKeeper();
  LauncherKeeper(const LauncherKeeper&) = delete;
  LauncherKeeper& operator=(const LauncherKeeper&) = delete;

  /// Before the generation's first worker is forked. Scripts' bodies are in `spool`.
  void begin(std::uint64_t generation, std::vector<WantedLauncher> wanted,
             const std::filesystem::path& spool);
  /// The ends, one for each launcher of the generation, of a worker that is about to be forked; an
  /// empty one where there is no launcher now.
  std::vector<UniqueFd> connect(std::uint64_t generation, std::int64_t worker);
  /// The generation has no worker any more: its launchers end when their last run has, and are
  /// killed after `patience`.
  void finish(std::uint64_t generation, Clock::duration patience);
  /// The same for all; `done` is called once there is none.
  void finishAll(Clock::duration patience, std::function<void()> done);
  /// Those that are finishing are killed.
  void hurry();

  /// `answered` is called once, later or before this returns.
  void listScripts(Answered answered);
  /// Its processes get TERM, and KILL if they stay.
  void stopScript(pid_t pid, Answered answered);

  std::vector<LauncherView> launchers() const;

  /// In a forked child: closes all descriptors. The object must not be used or destroyed there.
  void closeInChild();

 private:
  struct Place;
  struct Question;
  /// A place's generation and number.
  using Key = std::pair<std::uint64_t, std::uint32_t>;

  void start(Place& place);
  Result<UniqueFd> open(Place& place);
  Result<void> brief(Place& place);
  Result<UniqueFd> connect(Place& place, std::int64_t worker);
  void onPacket(Place& place, std::string_view packet);
  void onSaid(Place& place, const LauncherReady& said);
  void onSaid(Place& place, const WorkerLied& said);
  void onSaid(Place& place, const ScriptsRunning& said);
  void onSaid(Place& place, const ScriptStopped& said);
  void onSaid(Place& place, const LauncherWarns& said);
  void onChannelEnded(Place& place, const std::string& fault);
  void onTime(Place& place);
  void onLook(Place& place);
  void endLater(Place& place);
  void onEnded(Key key, unsigned life);
  void kill(Place& place, std::string why);
  void startLater(Place& place, const std::string& why);
  void finish(Place& place, Clock::duration patience);
  void endOrphans();
  void tellWhenNone();

  template <class Message>
  void ask(Message message, Answered answered);
  void noteAnswer(std::uint32_t question, const Place& place);
  void complete(std::uint32_t question);

  EventLoop& loop_;
  const LauncherHooks hooks_;
  std::map<Key, std::unique_ptr<Place>> places_;
  std::map<std::uint32_t, std::unique_ptr<Question>> questions_;
  std::uint32_t lastQuestion_ = 0;
  std::function<void()> whenNone_;  ///< of finishAll()
  Timer orphans_;
  Timer lateOrphans_;
};

}  // namespace egalaxyd
