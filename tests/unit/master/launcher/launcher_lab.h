// A launcher in a process of its own, its master and its workers, as tests play them.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/shared/launcher_plan.h"
#include "common/shared/launcher_protocol.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {

/// One channel. What does not come in time is nullopt.
class LauncherPeer {
 public:
  explicit LauncherPeer(UniqueFd socket) : socket_(std::move(socket)) {}

  void send(std::string_view packet, const std::vector<int>& files = {}) const;
  /// Sends it if there is room.
  void offer(std::string_view packet) const;
  /// Whether receive() need not wait.
  bool hasPacket() const;
  /// The next packet; its descriptors are in `files`. nullopt: the other end has closed.
  std::optional<std::string> receive();

  std::vector<UniqueFd> files;

 private:
  UniqueFd socket_;
};

struct WorkerPeer : LauncherPeer {
  using LauncherPeer::LauncherPeer;
  void ask(const WorkerAsks& message) const { send(encode(message)); }
  /// nullopt: another message came, or none.
  template <class Message>
  std::optional<Message> next() {
    const auto packet = receive();
    const auto message = packet ? decodeLauncherAnswers(*packet) : std::nullopt;
    const auto* wanted = message ? std::get_if<Message>(&*message) : nullptr;
    return wanted == nullptr ? std::nullopt : std::optional(*wanted);
  }
};

/// The launcher may have few descriptors, so that it soon fails if it loses some.
class LauncherLab {
 public:
  enum class StartedBy {
    kMaster,
    kServiceManager,  ///< it accepts masters at door()
  };

  explicit LauncherLab(StartedBy by = StartedBy::kMaster);
  /// Ends the launcher and what it runs; the workers must have gone.
  ~LauncherLab();
  LauncherLab(const LauncherLab&) = delete;
  LauncherLab& operator=(const LauncherLab&) = delete;

  /// An executable file below scripts(); `name` may have folders.
  std::filesystem::path script(std::string_view name, std::string_view text) const;
  std::filesystem::path scripts() const { return folder / "scripts"; }
  /// A mount of scripts() as the plan's next one.
  ScriptMount& mount();
  std::filesystem::path door() const { return folder / "door"; }
  /// A connection to door().
  UniqueFd knock() const;
  /// Gives the plan and waits for LauncherReady.
  void start();
  WorkerPeer worker(std::int64_t id = 1);

  void order(const MasterSays& message) { master->send(encode(message)); }
  template <class Message>
  std::optional<Message> report() {
    const auto packet = master->receive();
    const auto message = packet ? decodeLauncherSays(*packet) : std::nullopt;
    const auto* wanted = message ? std::get_if<Message>(&*message) : nullptr;
    return wanted == nullptr ? std::nullopt : std::optional(*wanted);
  }
  std::vector<RunningScript> running();
  /// Children of the launcher, zombies too.
  std::size_t children() const;
  void kill();
  /// Whether the launcher ends by itself, with code 0.
  bool ends();

  TempDir folder;
  LauncherPlan plan;
  std::optional<LauncherPeer> master;

 private:
  UniqueFd listenAtDoor() const;

  pid_t pid_ = 0;
};

/// All that comes until the end; what is there when the time is over otherwise.
std::string readAll(const UniqueFd& pipe);

}  // namespace egalaxyd
