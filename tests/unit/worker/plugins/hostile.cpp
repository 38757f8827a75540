// What code that has taken a worker does: everything that it should not.
#include "tests/support/hostile.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "common/shared/shared_state.h"
#include "worker/plugin/plugin.h"

namespace {

using namespace egalaxyd;

sigjmp_buf afterFault;

void onFault(int) { siglongjmp(afterFault, 1); }

/// Whether writing there ends in a fault.
bool isProtected(void* place) {
  struct sigaction handler {};
  struct sigaction before {};
  handler.sa_handler = onFault;
  ::sigaction(SIGSEGV, &handler, &before);
  bool faulted = sigsetjmp(afterFault, 1) != 0;
  if (!faulted) {
    auto* byte = static_cast<volatile char*>(place);
    *byte = *byte;
  }
  ::sigaction(SIGSEGV, &before, nullptr);
  return faulted;
}

int listenerOfThisProcess() {
  for (int fd = 0; fd < 1024; ++fd) {
    int listens = 0;
    socklen_t size = sizeof listens;
    const int got = ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    if (got == 0 && listens == 1) return fd;
  }
  return -1;
}

/// args: service (a port), datagrams, own, foreign (paths)
class Hostile final : public SitePlugin {
 public:
  Result<void> configure(const PluginArguments& arguments) override {
    arguments_ = arguments;
    return {};
  }

  /// Does what the path says, and tells what came of it.
  void handle(Request request, Responder reply, Services& services) override {
    const std::string deed(request.sitePath());
    auto& shared = const_cast<SharedState&>(services.info.shared);
    std::string text = "?";
    if (deed == "/attack") text = attack();
    if (deed == "/slots") text = slotsThatItCanWrite(shared);
    if (deed == "/lie") text = lie(shared);
    if (deed == "/ruin") text = ruinListener();
    if (deed == "/memory") text = openMemory("/proc/" + std::to_string(::getppid()) + "/mem");
    std::move(reply).send(Response::gemtext(text + "end\n"));
  }

 private:
  HostileTargets targets() const {
    HostileTargets targets;
    targets.master = ::getppid();
    targets.listener = listenerOfThisProcess();
    targets.service = static_cast<std::uint16_t>(std::stoi(arguments_.at("service")));
    targets.datagramSocket = arguments_.at("datagrams");
    targets.ownFile = arguments_.at("own");
    targets.foreignFile = arguments_.at("foreign");
    return targets;
  }

  std::string attack() const {
    const HostileTargets at = targets();
    ::close(::open(at.ownFile.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    return attackAll(at);
  }

  /// As it could be done without seccomp: the listener becomes a connection.
  std::string ruinListener() const {
    const HostileTargets at = targets();
    sockaddr_in service{};
    service.sin_family = AF_INET;
    service.sin_port = htons(at.service);
    service.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool isEnded = ::shutdown(at.listener, SHUT_RDWR) == 0;
    ::sendto(at.listener, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&service), sizeof service);
    return isEnded ? "ruined\n" : "denied\n";
  }

  static std::string openMemory(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return "denied\n";
    ::close(fd);
    return "opened\n";
  }

  /// Its place to write slot `index`, which need not be there, and to read it.
  static std::byte* writable(SharedState& shared, std::size_t index) {
    return reinterpret_cast<std::byte*>(&shared.slot(0)) + index * stride(shared);
  }
  static std::byte* readable(const SharedState& shared, std::size_t index) {
    return const_cast<std::byte*>(reinterpret_cast<const std::byte*>(&shared.slot(index)));
  }
  static std::size_t stride(const SharedState& shared) {
    return static_cast<std::size_t>(readable(shared, 1) - readable(shared, 0));
  }

  /// Something else may lie there by now.
  static bool canWrite(SharedState& shared, std::size_t index) {
    if (!isProtected(readable(shared, index))) return true;
    std::byte* to = writable(shared, index) + offsetof(WorkerSlot, memory);
    if (isProtected(to)) return false;
    const volatile std::byte* seen = readable(shared, index) + offsetof(WorkerSlot, memory);
    const std::byte before = *to;
    *to = ~before;
    const bool isSeen = *seen == ~before;
    *to = before;
    return isSeen;
  }

  static std::string slotsThatItCanWrite(SharedState& shared) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < SharedState::kSlots; ++i) count += canWrite(shared, i) ? 1 : 0;
    return std::to_string(count) + "\n";
  }

  static std::string lie(SharedState& shared) {
    for (std::size_t i = 0; i < SharedState::kSlots; ++i) {
      if (!canWrite(shared, i)) continue;
      std::memset(writable(shared, i), 0x7F, sizeof(WorkerSlot));
      return "lied\n";
    }
    return "no slot is its own\n";
  }

  PluginArguments arguments_;
};

}  // namespace

EGALAXYD_PLUGIN
EGALAXYD_BEGIN_SITES
POCO_EXPORT_CLASS(Hostile)
POCO_END_MANIFEST
