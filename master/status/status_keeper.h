// The master's side of the status page: keeps one process for it, and answers its questions.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/loop/event_loop.h"
#include "common/shared/shared_state.h"
#include "common/system/listening.h"
#include "common/system/privilege.h"
#include "master/child/forked_process.h"

namespace egalaxyd {

/// What the page is to be. Without sockets there is none.
struct StatusPlan {
  std::vector<std::shared_ptr<const ListeningSocket>> sockets;
  TokenDigest token;
  std::optional<Account> account;
  SandboxMode sandbox = SandboxMode::kAuto;

  /// Whether one process serves both: the same sockets, token, account and sandbox.
  bool isLike(const StatusPlan& other) const;
};

/// Master only, on its loop; never waits. The process may end, hang or send nonsense: it is
/// replaced, with growing pauses when that does not help, and nothing else notices.
class StatusKeeper {
 public:
  /// `figures` gives what the process shows, as JSON. `shared` outlives it.
  StatusKeeper(EventLoop& loop, const SharedState& shared, std::function<std::string()> figures);
  /// Kills the process.
  ~StatusKeeper();
  StatusKeeper(const StatusKeeper&) = delete;
  StatusKeeper& operator=(const StatusKeeper&) = delete;

  /// From now on. A process that serves another plan leaves at once; its successor has begun by
  /// then.
  void serve(StatusPlan plan);
  /// Not any more: the process leaves by itself.
  void stop();
  /// Once a second: a process that has asked for nothing for long is killed.
  void look();
  /// 0: there is none now.
  pid_t pid() const;

  /// In a forked child: closes all descriptors. The object must not be used or destroyed there.
  void closeInChild();

 private:
  struct Process;

  void start();
  void leave();
  void onSpoke(Process& process);
  void onQuestion(Process& process);
  void onEnded(Process& process);
  void tryLater(const std::string& why);

  EventLoop& loop_;
  const SharedState& shared_;
  const std::function<std::string()> figures_;
  StatusPlan plan_;
  std::unique_ptr<Process> current_;
  std::vector<std::unique_ptr<Process>> leaving_;
  Clock::duration pause_;
  Timer retry_;
};

}  // namespace egalaxyd
