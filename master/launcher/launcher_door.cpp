#include "master/launcher/launcher_door.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

int optionOf(int socket, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

std::filesystem::path pathOf(int socket) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return std::string(static_cast<const char*>(address.sun_path));
}

std::set<uid_t> mastersAt(int socket) {
  std::set<uid_t> masters{0};
  struct stat folder {};
  if (::stat(pathOf(socket).parent_path().c_str(), &folder) == 0) masters.insert(folder.st_uid);
  if (const passwd* entry = ::getpwnam("egalaxyd")) masters.insert(entry->pw_uid);
  if (::geteuid() != 0) masters.erase(::geteuid());
  return masters;
}

}  // namespace

Result<void> LauncherDoor::isOne(int socket) {
  if (optionOf(socket, SO_DOMAIN) == AF_UNIX && optionOf(socket, SO_TYPE) == SOCK_SEQPACKET &&
      optionOf(socket, SO_ACCEPTCONN) == 1) {
    return {};
  }
  return Error{ErrorCode::kInvalid,
               "the launcher needs one listening Unix socket: ListenSequentialPacket="};
}

LauncherDoor::LauncherDoor(EventLoop& loop, UniqueFd socket, std::function<void(UniqueFd)> onMaster)
    : socket_(std::move(socket)),
      masters_(mastersAt(socket_.get())),
      onMaster_(std::move(onMaster)),
      watch_(loop, [this](IoEvents) { onReady(); }) {
  ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
  if (auto started = watch_.start(socket_.get(), WatchMode::kRead); !started) {
    std::fprintf(stderr, "egalaxyd-launcher: %s\n", started.error().message.c_str());
  }
}

void LauncherDoor::onReady() {
  UniqueFd peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!peer) return;
  ucred who{};
  socklen_t size = sizeof who;
  const bool known = ::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0;
  if (known && masters_.contains(who.uid)) return onMaster_(std::move(peer));
  std::fprintf(stderr, "egalaxyd-launcher: account %u is no master and is not heard\n", who.uid);
}

}  // namespace egalaxyd
