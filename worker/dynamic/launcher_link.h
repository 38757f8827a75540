// A worker's talk with one launcher: it has scripts run and applications called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/base/unique_function.h"
#include "common/loop/event_loop.h"
#include "common/shared/launcher_protocol.h"
#include "common/shared/shared_state.h"
#include "worker/base/task.h"
#include "worker/dynamic/script_errors.h"

namespace egalaxyd {

/// A script that was started. Shared by the link, which hears of its end, and who reads its output.
struct ScriptRun {
  std::string name;  ///< for the log: cgi "/cgi-bin/x"[4711]
  std::optional<ScriptEnded> ended;
  UniqueFunction<void()> onEnded;
  std::unique_ptr<ScriptErrorPipe> errors;
};

/// Loop thread only; never waits. Each question is answered once: with an Error when the launcher
/// ends.
class LauncherLink {
 public:
  LauncherLink(EventLoop& loop, WorkerSlot& counters);
  ~LauncherLink();
  LauncherLink(const LauncherLink&) = delete;
  LauncherLink& operator=(const LauncherLink&) = delete;

  /// Talks over `channel` from now on. What the launcher before this one ran has ended with it.
  void connect(UniqueFd channel);

  /// A number for RunScript::run or DialUpstream::run.
  std::uint32_t newRun() { return ++lastRun_; }
  struct Script {
    std::uint32_t run = 0;
    std::shared_ptr<ScriptRun> process;
    UniqueFd output;  ///< non-blocking
  };
  /// `name`: ScriptRun::name without the process. Errors: kBusy (no place, or
  /// the launcher takes no questions), kNotFound (no such
  /// script any more), kPermission (cannot be run), kNoSpace (no launcher, or the system refuses),
  /// kIo (stop() was called).
  Async<Result<Script>> run(RunScript order, std::string name);
  /// A connected, non-blocking socket. Errors: kNoSpace, kBusy (as above), kIo (nobody answers
  /// there).
  Async<Result<UniqueFd>> dial(DialUpstream order);
  /// Nobody wants it any more, whether it runs or waits.
  void stop(std::uint32_t run);

  /// Scripts whose end has not been heard of.
  std::size_t running() const { return running_.size(); }
  void stopAll();

 private:
  using GotScript = Async<Result<Script>>::Done;
  using GotSocket = Async<Result<UniqueFd>>::Done;
  struct Waiting {
    std::string name;
    GotScript script;  ///< one of the two
    GotSocket socket;
  };

  /// False: there is no launcher.
  bool send(const WorkerAsks& question);
  void flush();
  void receiveSome();
  bool receive();
  void refuse(const LauncherAnswers& message);
  void onAnswer(const LauncherAnswers& answer, std::vector<UniqueFd> files);
  void onStarted(const ScriptStarted& started, std::vector<UniqueFd> files);
  void onEnded(const ScriptEnded& ended);
  void answer(std::uint32_t run, const Error& error);
  std::optional<Waiting> takeWaiting(std::uint32_t run);
  void lose();

  EventLoop& loop_;
  WorkerSlot& counters_;
  UniqueFd channel_;
  Watch watch_;
  std::deque<std::string> unsent_;  ///< what the launcher has not had room for
  std::size_t unsentBytes_ = 0;     ///< of these
  std::uint32_t lastRun_ = 0;
  std::map<std::uint32_t, Waiting> waiting_;
  std::map<std::uint32_t, std::shared_ptr<ScriptRun>> running_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< for deferred answers
};

/// What a refusal of the launcher means for its caller.
ErrorCode errorOf(WhyNot why);

}  // namespace egalaxyd
