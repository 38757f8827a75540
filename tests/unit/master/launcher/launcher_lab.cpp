#include "tests/unit/master/launcher/launcher_lab.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "master/launcher/launcher_main.h"
#include "tests/support/deadline.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMostFilesOfAPacket = 2;

struct RoomForFiles {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFilesOfAPacket * sizeof(int))> bytes{};
};

bool comes(int fd, const Deadline& deadline) {
  pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&waited, 1, deadline.leftMs()) == 1;
}

sockaddr_un addressOf(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  return address;
}

}  // namespace

void LauncherPeer::send(std::string_view packet, const std::vector<int>& out) const {
  std::string copy(packet);
  iovec part{copy.data(), copy.size()};
  RoomForFiles room;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!out.empty()) {
    message.msg_control = room.bytes.data();
    message.msg_controllen = CMSG_SPACE(out.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(out.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), out.data(), out.size() * sizeof(int));
  }
  EXPECT_GE(::sendmsg(socket_.get(), &message, MSG_NOSIGNAL), 0);
}

void LauncherPeer::offer(std::string_view packet) const {
  ::send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool LauncherPeer::hasPacket() const {
  pollfd wait{socket_.get(), POLLIN, 0};
  return ::poll(&wait, 1, 0) > 0;
}

std::optional<std::string> LauncherPeer::receive() {
  if (!comes(socket_.get(), Deadline())) return std::nullopt;
  std::string packet(kMostLauncherBytes, '\0');
  iovec part{packet.data(), packet.size()};
  RoomForFiles room;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.bytes.data();
  message.msg_controllen = room.bytes.size();
  const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  files.clear();
  if (got <= 0) return std::nullopt;
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
    std::vector<int> numbers((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(numbers.data(), CMSG_DATA(header), numbers.size() * sizeof(int));
    for (const int fd : numbers) files.emplace_back(fd);
  }
  packet.resize(static_cast<std::size_t>(got));
  return packet;
}

LauncherLab::LauncherLab(StartedBy by) {
  folder.makeDir("scripts");
  folder.makeDir("spool");
  const bool activated = by == StartedBy::kServiceManager;
  auto ends = messageSocketPair().value();
  if (activated) ends.second = listenAtDoor();
  pid_ = ::fork();
  if (pid_ == 0) {
    ends.first.reset();
    const rlimit few{64, 4096};
    ::setrlimit(RLIMIT_NOFILE, &few);
    ::dup2(ends.second.get(), 3);
    if (activated) ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    if (activated) ::setenv("LISTEN_FDS", "1", 1);
    ::_exit(runLauncher(3));
  }
  if (!activated) master.emplace(std::move(ends.first));
  if (activated && ::geteuid() == 0) master.emplace(knock());
}

UniqueFd LauncherLab::listenAtDoor() const {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = addressOf(door());
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(socket.get(), 8), 0);
  return socket;
}

UniqueFd LauncherLab::knock() const {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = addressOf(door());
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
            0);
  return socket;
}

LauncherLab::~LauncherLab() {
  const bool endsByItself = master && !std::filesystem::exists(door());
  master.reset();
  if (endsByItself) ends();
  kill();
}

void LauncherLab::kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

std::filesystem::path LauncherLab::script(std::string_view name, std::string_view text) const {
  const auto file = folder.write("scripts/" + std::string(name), text);
  ::chmod(file.c_str(), 0755);
  return file;
}

ScriptMount& LauncherLab::mount() {
  ScriptMount& added = plan.mounts.emplace_back();
  added.number = static_cast<std::uint32_t>(plan.mounts.size() - 1);
  added.name = "/cgi-bin";
  added.root = scripts();
  return added;
}

void LauncherLab::start() {
  if (plan.mounts.empty()) mount();
  const UniqueFd memory(::memfd_create("plan", MFD_CLOEXEC));
  const std::string bytes = encode(plan);
  EXPECT_EQ(::write(memory.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  const UniqueFd spool(::open((folder / "spool").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  master->send(encode(MasterSays(TakePlan{})), {memory.get(), spool.get()});
  EXPECT_TRUE(report<LauncherReady>());
}

WorkerPeer LauncherLab::worker(std::int64_t id) {
  auto ends = messageSocketPair().value();
  master->send(encode(MasterSays(TakeWorker{id})), {ends.second.get()});
  return WorkerPeer(std::move(ends.first));
}

std::vector<RunningScript> LauncherLab::running() {
  order(ListScripts{5});
  const auto list = report<ScriptsRunning>();
  EXPECT_TRUE(list && list->question == 5);
  return list ? list->scripts : std::vector<RunningScript>();
}

std::size_t LauncherLab::children() const {
  const std::string pid = std::to_string(pid_);
  std::ifstream list("/proc/" + pid + "/task/" + pid + "/children");
  return static_cast<std::size_t>(
      std::distance(std::istream_iterator<pid_t>(list), std::istream_iterator<pid_t>()));
}

bool LauncherLab::ends() {
  int status = 0;
  if (pid_ == 0 || !eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; }))
    return false;
  pid_ = 0;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string readAll(const UniqueFd& pipe) {
  const Deadline deadline;
  std::string text;
  std::array<char, 4096> part;
  while (comes(pipe.get(), deadline)) {
    const ssize_t got = ::read(pipe.get(), part.data(), part.size());
    if (got <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace egalaxyd
