// The control socket and its clients. Master only, on its loop; never waits for a client, and
// whatever a client does costs only that client.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "common/system/privilege.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {

/// The process at the other end, as the kernel knew it when it connected (SO_PEERCRED).
struct ControlPeer {
  pid_t pid = 0;
  uid_t uid = 0;
  std::vector<gid_t> groups;  ///< all of them
};

class ControlServer {
 public:
  using ClientId = std::uint64_t;
  /// Has to call answer() for this client, now or later.
  using Handler =
      std::function<void(ClientId client, const ControlRequest& request, const ControlPeer& peer)>;

  /// At this number the least recently active client is dropped to make room for a new one.
  static constexpr std::size_t kMostClients = 64;
  /// Longest time for a whole request, and for any progress in reading an answer.
  static constexpr std::chrono::seconds kPatience{10};

  /// To be destroyed once the loop runs no more.
  ControlServer(EventLoop& loop, Handler handler);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Makes `path`, mode 0660, for the group of `account` if there is one; where it is in place
  /// already only its group may change. Clients of an earlier one stay. Fails with kExists when
  /// another server answers there, kInvalid when the path is too long for a socket.
  Result<void> open(const std::filesystem::path& path, const std::optional<Account>& account);
  /// Whether the path still leads to this socket: it may have been removed, or its folder.
  bool inPlace() const;
  /// The socket's group, whose members can connect.
  gid_t group() const { return group_; }
  /// False: it has gone, and needs no answer.
  bool has(ClientId client) const;
  /// Its socket, non-blocking, for a process that is forked to write to it before answer(); -1: it
  /// has gone.
  int socketOf(ClientId client) const;
  /// Nothing happens when the client has gone meanwhile.
  void answer(ClientId client, const Poco::JSON::Object& answer);
  /// The same with a whole line.
  void answerLine(ClientId client, std::string_view line);

  /// In a forked child: closes all descriptors. The object must not be used or destroyed there.
  void closeInChild();

 private:
  struct Client;
  void accept();
  void pauseAccepting();
  void resumeAccepting();
  bool makeRoom();
  void schedule(ClientId id);
  void pump(ClientId id);
  bool flush(Client& client);
  bool takeLine(ClientId id, Client& client);
  bool fill(Client& client);
  void drop(Client& client);

  EventLoop& loop_;
  Handler handler_;
  std::filesystem::path path_;  ///< empty: nothing to remove
  dev_t device_ = 0;            ///< of the socket at path_, with inode_
  ino_t inode_ = 0;
  gid_t group_ = 0;
  UniqueFd listener_;
  Watch watch_;
  Timer resume_;
  Clock::time_point nextComplaint_{};
  std::map<ClientId, std::unique_ptr<Client>> clients_;
  ClientId nextId_ = 1;
};

}  // namespace egalaxyd
