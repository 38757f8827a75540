#include "master/control/control_server.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

constexpr int kBacklog = 128;
constexpr int kAcceptsPerTurn = 16;
/// How long accepting pauses when there is no descriptor for another client.
constexpr auto kPause = std::chrono::milliseconds(100);
constexpr auto kComplaintInterval = std::chrono::minutes(1);

Result<sockaddr_un> addressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{} is too long for a socket: at most {} bytes; name a shorter "
                             "server.runtime_dir",
                             path, sizeof address.sun_path - 1)};
  }
  path.copy(address.sun_path, path.size());
  return address;
}

UniqueFd newSocket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// Removes the socket of a server that has gone; fails when one answers.
Result<void> removeStale(const std::string& path, const sockaddr_un& address) {
  const UniqueFd probe = newSocket();
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN) {
    return Error{ErrorCode::kExists, "another server answers at " + path +
                                         "; name another folder with server.runtime_dir"};
  }
  if (errno == ENOENT) return {};
  if (errno != ECONNREFUSED) return errnoError("look at " + path, errno);
  if (::unlink(path.c_str()) != 0) return errnoError("remove " + path, errno);
  return {};
}

Result<void> giveToGroup(const std::string& path, const std::optional<Account>& account) {
  if (account && ::chown(path.c_str(), static_cast<uid_t>(-1), account->gid) != 0) {
    return errnoError("chown " + path, errno);
  }
  if (::chmod(path.c_str(), 0660) != 0) return errnoError("chmod " + path, errno);
  return {};
}

Result<void> bindTo(int fd, const std::string& path, const sockaddr_un& address,
                    const std::optional<Account>& account) {
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int why = errno;
  ::umask(before);
  if (bound != 0) return errnoError("make " + path, why);
  if (auto given = giveToGroup(path, account); !given) return given;
  if (::listen(fd, kBacklog) != 0) return errnoError("listen on " + path, errno);
  return {};
}

void rejectBusy(int fd) {
  const std::string busy =
      encodeControlAnswer(controlFailure("too many control clients; try again later"));
  static_cast<void>(::send(fd, busy.data(), busy.size(), MSG_NOSIGNAL));
}

std::vector<gid_t> supplementaryGroups(int fd) {
  std::vector<gid_t> groups(64);
  for (int tries = 0; tries < 2; ++tries) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const int got = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    if (got != 0 && errno != ERANGE) break;
    groups.resize(size / sizeof(gid_t));  // ERANGE: the size that is needed
    if (got == 0) return groups;
  }
  return {};
}

ControlPeer peerOf(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return {0, static_cast<uid_t>(-1), {}};
  }
  ControlPeer peer{credentials.pid, credentials.uid, supplementaryGroups(fd)};
  peer.groups.push_back(credentials.gid);
  return peer;
}

}  // namespace

struct ControlServer::Client {
  Client(EventLoop& loop, UniqueFd socket, std::function<void()> onReady,
         std::function<void()> onLate)
      : fd(std::move(socket)),
        peer(peerOf(fd.get())),
        watch(loop,
              [this, onReady = std::move(onReady)](IoEvents events) {
                left = left || events.broken;
                onReady();
              }),
        deadline(loop, std::move(onLate)) {}

  /// It made progress: its deadline begins anew.
  void moved() {
    since = Clock::now();
    deadline.setAfter(kPatience);
  }

  UniqueFd fd;
  ControlPeer peer;
  Watch watch;
  Timer deadline;
  Clock::time_point since;  ///< when it last made progress
  std::string in;
  std::string out;
  bool scheduled = false;  ///< pump() is called at the end of this turn
  bool waiting = false;    ///< for the handler's answer
  bool last = false;       ///< closed once `out` is sent
  bool left = false;       ///< it has closed its socket: no answer reaches it
  bool gone = false;
};

ControlServer::ControlServer(EventLoop& loop, Handler handler)
    : loop_(loop),
      handler_(std::move(handler)),
      watch_(loop, [this](IoEvents) { accept(); }),
      resume_(loop, [this] { resumeAccepting(); }) {}

ControlServer::~ControlServer() {
  if (inPlace()) ::unlink(path_.c_str());
}

Result<void> ControlServer::open(const std::filesystem::path& path,
                                 const std::optional<Account>& account) {
  if (path == path_ && inPlace()) {
    const auto given = giveToGroup(path, account);
    if (given && account) group_ = account->gid;
    return given;
  }
  const auto address = addressOf(path);
  if (!address) return address.error();
  if (auto removed = removeStale(path, *address); !removed) return removed;
  UniqueFd listener = newSocket();
  if (!listener) return errnoError("make a socket", errno);
  if (auto bound = bindTo(listener.get(), path, *address, account); !bound) return bound;
  struct stat made {};
  if (::lstat(path.c_str(), &made) != 0) return errnoError("look at " + path.string(), errno);
  path_ = path;
  device_ = made.st_dev;
  inode_ = made.st_ino;
  group_ = made.st_gid;
  resume_.cancel();
  watch_.stop();
  listener_ = std::move(listener);
  return watch_.start(listener_.get(), WatchMode::kRead);
}

bool ControlServer::inPlace() const {
  struct stat there {};
  return !path_.empty() && ::lstat(path_.c_str(), &there) == 0 && there.st_dev == device_ &&
         there.st_ino == inode_;
}

/// The watch is level-triggered: while a client waits that cannot be accepted, it would spin.
void ControlServer::pauseAccepting() {
  if (loop_.now() >= nextComplaint_) {
    nextComplaint_ = loop_.now() + kComplaintInterval;
    spdlog::warn("control clients wait: {}", errnoError("accept", errno).message);
  }
  watch_.stop();
  resume_.setAfter(kPause);
}

void ControlServer::resumeAccepting() {
  if (!watch_.start(listener_.get(), WatchMode::kRead)) resume_.setAfter(kPause);
}

void ControlServer::accept() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        pauseAccepting();
      }
      return;
    }
    if (!makeRoom()) {
      rejectBusy(socket.get());
      continue;
    }
    const ClientId id = nextId_++;
    auto client = std::make_unique<Client>(
        loop_, std::move(socket), [this, id] { schedule(id); },
        [this, id] { drop(*clients_.at(id)); });
    client->moved();
    if (!client->watch.start(client->fd.get(), WatchMode::kEdge)) continue;
    clients_.emplace(id, std::move(client));
  }
}

/// At kMostClients the least recently active client is dropped, unless it waits for our answer: no
/// crowd keeps the operator out. False: all of them wait.
bool ControlServer::makeRoom() {
  std::size_t here = 0;
  Client* leastRecent = nullptr;
  for (const auto& [id, client] : clients_) {
    if (client->gone) continue;
    ++here;
    if (client->waiting || (leastRecent != nullptr && leastRecent->since <= client->since))
      continue;
    leastRecent = client.get();
  }
  if (here < kMostClients) return true;
  if (leastRecent == nullptr) return false;
  if (leastRecent->out.empty()) rejectBusy(leastRecent->fd.get());
  drop(*leastRecent);
  return true;
}

bool ControlServer::has(ClientId id) const {
  const auto found = clients_.find(id);
  return found != clients_.end() && !found->second->gone;
}

int ControlServer::socketOf(ClientId id) const { return has(id) ? clients_.at(id)->fd.get() : -1; }

void ControlServer::answer(ClientId id, const Poco::JSON::Object& answer) {
  answerLine(id, encodeControlAnswer(answer));
}

void ControlServer::answerLine(ClientId id, std::string_view line) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || found->second->gone) return;
  Client& client = *found->second;
  client.waiting = false;
  client.out += line;
  client.moved();
  flush(client);  // now: the master may be about to end
  schedule(id);
}

void ControlServer::closeInChild() {
  ::close(listener_.get());
  for (const auto& [id, client] : clients_) ::close(client->fd.get());
}

void ControlServer::schedule(ClientId id) {
  if (std::exchange(clients_.at(id)->scheduled, true)) return;
  loop_.defer([this, id] { pump(id); });
}

/// One step for this client (send, take a line, read); the next one comes after the other clients'.
void ControlServer::pump(ClientId id) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || found->second->gone) return;
  Client& client = *found->second;
  client.scheduled = false;
  if (!flush(client)) return;
  if (client.last && !client.waiting) return drop(client);
  if (!client.waiting && !takeLine(id, client) && fill(client)) schedule(id);
  if (client.waiting && client.left) drop(client);
}

/// False: there is more to send, or the client has gone.
bool ControlServer::flush(Client& client) {
  while (!client.out.empty()) {
    const ssize_t sent =
        ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      errno == EAGAIN ? client.watch.wantRoom() : drop(client);
      return false;
    }
    client.out.erase(0, static_cast<std::size_t>(sent));
    client.moved();
  }
  return !client.gone;
}

/// False: there is no whole line yet.
bool ControlServer::takeLine(ClientId id, Client& client) {
  const std::size_t end = client.in.find('\n');
  if (end == std::string::npos && client.in.size() <= kMaxControlLine) return false;
  Result<ControlRequest> request = Error{ErrorCode::kInvalid, "the line is too long"};
  if (end != std::string::npos && end <= kMaxControlLine) {
    request = parseControlRequest(std::string_view(client.in).substr(0, end));
    client.in.erase(0, end + 1);
  }
  client.waiting = true;
  if (!request) {
    client.last = true;
    spdlog::warn("control: process {} of user {} was sent away: {}", client.peer.pid,
                 client.peer.uid, request.error().message);
    answer(id, controlFailure(request.error().message));
  } else {
    client.deadline.cancel();
    handler_(id, *request, client.peer);
  }
  return true;
}

/// False: all that has come is read.
bool ControlServer::fill(Client& client) {
  std::array<char, kMaxControlLine> bytes;
  ssize_t got = 0;
  do {
    got = ::recv(client.fd.get(), bytes.data(), bytes.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return false;
  if (got <= 0) {
    drop(client);
    return false;
  }
  client.in.append(bytes.data(), static_cast<std::size_t>(got));
  return true;
}

void ControlServer::drop(Client& client) {
  if (std::exchange(client.gone, true)) return;
  client.deadline.cancel();
  client.watch.stop();
  client.fd.reset();
  loop_.defer(
      [this] { std::erase_if(clients_, [](const auto& each) { return each.second->gone; }); });
}

}  // namespace egalaxyd
