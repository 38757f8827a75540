// Stands between a client and a PostgreSQL server, and cuts the wire where a test wants it.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/unique_fd.h"
#include "tests/support/postgres_server.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {

class CutProxy {
 public:
  enum class Cut {
    kNone,
    kAnswer,  ///< the next COMMIT reaches the server, its answer nobody
    kCommit,  ///< the next COMMIT gets lost
    kLate,    ///< the client is cut off at once, the COMMIT reaches the server with release()
    kFrozen,  ///< nothing passes any more, and nothing is closed
  };

  explicit CutProxy(const PostgresServer& server)
      : upstream_(server.socketFolder() / ".s.PGSQL.5432") {
    const sockaddr_un address = addressOf(folder_ / ".s.PGSQL.5432");
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 16) != 0) {
      throw std::runtime_error("no proxy");
    }
    acceptor_ = std::thread([this] { accept(); });
  }
  ~CutProxy() {
    ended_ = true;
    acceptor_.join();
    for (std::thread& each : relays_) each.join();
  }
  CutProxy(const CutProxy&) = delete;
  CutProxy& operator=(const CutProxy&) = delete;

  void cut(Cut cut) {
    released_ = false;
    cut_ = cut;
  }
  void release() { released_ = true; }

  DatabaseAccess access(const std::string& database) const {
    DatabaseAccess access;
    access.url = "postgresql://egalaxyd@/" + database + "?host=" + folder_.path().string();
    access.host = "h1";
    return access;
  }

 private:
  static sockaddr_un addressOf(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }
  static bool ready(int fd) {
    pollfd waiting{fd, POLLIN, 0};
    return ::poll(&waiting, 1, 20) > 0;
  }
  static std::string_view take(int fd, std::array<char, 65536>& room) {
    const ssize_t got = ::read(fd, room.data(), room.size());
    return {room.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
  }
  static void give(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  void accept() {
    while (!ended_) {
      if (!ready(listener_.get())) continue;
      const int client = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (client >= 0) relays_.emplace_back([this, client] { relay(UniqueFd(client)); });
    }
  }

  void relay(UniqueFd client) {
    const sockaddr_un address = addressOf(upstream_);
    const UniqueFd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return;
    }
    std::array<char, 65536> room;
    while (!ended_) {
      pollfd both[] = {{client.get(), POLLIN, 0}, {server.get(), POLLIN, 0}};
      const bool any = ::poll(both, 2, 20) > 0;
      if (cut_ == Cut::kFrozen) ::poll(nullptr, 0, 20);
      if (!any || cut_ == Cut::kFrozen) continue;
      if (both[0].revents != 0) {
        const std::string_view bytes = take(client.get(), room);
        if (bytes.empty()) return;
        if (cut_ != Cut::kNone && bytes.find("COMMIT") != std::string_view::npos) {
          return cutAt(std::move(client), server.get(), bytes);
        }
        give(server.get(), bytes);
      }
      if (both[1].revents != 0) {
        const std::string_view bytes = take(server.get(), room);
        if (bytes.empty()) return;
        give(client.get(), bytes);
      }
    }
  }

  void cutAt(UniqueFd client, int server, std::string_view bytes) {
    const Cut how = cut_.exchange(Cut::kNone);
    if (how == Cut::kCommit) return;
    if (how == Cut::kLate) {
      client = UniqueFd();
      while (!released_ && !ended_) ::poll(nullptr, 0, 10);
    }
    give(server, bytes);
    while (!ended_ && !ready(server)) {
    }
  }

  TempDir folder_;
  const std::filesystem::path upstream_;
  UniqueFd listener_;
  std::atomic<Cut> cut_ = Cut::kNone;
  std::atomic<bool> released_ = false;
  std::atomic<bool> ended_ = false;
  std::vector<std::thread> relays_;  ///< of the acceptor's thread until that has ended
  std::thread acceptor_;
};

}  // namespace egalaxyd
