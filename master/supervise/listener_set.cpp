#include "master/supervise/listener_set.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "common/base/errno_error.h"
#include "master/supervise/port_holder.h"

namespace egalaxyd {
namespace {

using SharedFd = std::shared_ptr<const ListeningSocket>;
using Sockets = std::vector<SharedFd>;

constexpr int kUnprivilegedPort = 1024;

struct AddrInfoFree {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

Error unresolved(const ListenAddress& address, const std::string& why) {
  return {ErrorCode::kBusy, "listen on " + address.text() + ": the name cannot be resolved: " +
                                why + "; mend the name, or wait for the network"};
}

using AddrInfos = std::unique_ptr<addrinfo, AddrInfoFree>;

/// `numeric`: AI_NUMERICHOST, so no name server is asked.
Result<AddrInfos> resolve(const ListenAddress& address, const char* host, bool numeric) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV | (numeric ? AI_NUMERICHOST : 0);
  addrinfo* list = nullptr;
  const int rc = ::getaddrinfo(host, std::to_string(address.port).c_str(), &hints, &list);
  if (rc == EAI_SYSTEM) return errnoError("listen on " + address.text(), errno);
  if (rc != 0) {
    return Error{ErrorCode::kBusy, "listen on " + address.text() +
                                       ": the name cannot be resolved: " + ::gai_strerror(rc) +
                                       "; mend the name, or wait for the network"};
  }
  return AddrInfos(list);
}

/// Those that choose another address for `kind`.
std::string optionsFor(ListenerKind kind, std::uint16_t port) {
  const int other = port < kUnprivilegedPort ? port + 10000 : port + 1;
  switch (kind) {
    case ListenerKind::kGemini:
      return fmt::format("--port {}, or --gemini ADDRESS:PORT (listen.gemini)", other);
    case ListenerKind::kTitan:
      return fmt::format("--titan :{}, or --titan off (listen.titan)", other);
    case ListenerKind::kSpartan:
      return fmt::format("--spartan :{}, or --spartan off (listen.spartan)", other);
    case ListenerKind::kStatus:
      return fmt::format("another one in status.listen, such as 127.0.0.1:{}", other);
  }
  return "";
}

Error bindError(const ListenAddress& address, ListenerKind kind, int errnoValue) {
  Error error = errnoError("listen on " + address.text(), errnoValue);
  if (errnoValue == EADDRINUSE) {
    error.message = "the address " + address.text() + " is taken by " +
                    describePortHolder(address.port, optionsFor(kind, address.port));
  } else if (error.code == ErrorCode::kPermission && address.port < kUnprivilegedPort) {
    error.message +=
        "; ports below 1024 need root or CAP_NET_BIND_SERVICE (for example: setcap "
        "cap_net_bind_service=+ep egalaxyd), or take a port from 1024 on: " +
        optionsFor(kind, address.port);
  } else if (errnoValue == EADDRNOTAVAIL) {
    error.code = ErrorCode::kBusy;  // the network may be on its way up
    error.message += "; use an address that this machine has, or :PORT for all of them";
  }
  return error;
}

/// Binds without SO_REUSEPORT: a second server on the address must be refused, not share it. Not
/// through Poco::Net::ServerSocket: that has no SOCK_CLOEXEC, keeps the descriptor, and throws
/// errno.
Result<SharedFd> bindOne(const ListenAddress& address, ListenerKind kind, const addrinfo& to,
                         bool dualStack) {
  UniqueFd fd(::socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return bindError(address, kind, errno);
  const int on = 1;
  const int v6Only = dualStack ? 0 : 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (to.ai_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6Only, sizeof v6Only);
  }
  if (::bind(fd.get(), to.ai_addr, to.ai_addrlen) != 0 || ::listen(fd.get(), kListenBacklog) != 0) {
    return bindError(address, kind, errno);
  }
  return std::make_shared<const ListeningSocket>(std::move(fd));
}

/// True when one of `sockets` is bound to `to`: a name may resolve to the same address twice.
bool holds(const Sockets& sockets, const addrinfo& to) {
  return std::ranges::any_of(sockets, [&](const SharedFd& fd) {
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    return ::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&local), &size) == 0 &&
           size == to.ai_addrlen && std::memcmp(&local, to.ai_addr, size) == 0;
  });
}

/// Only EAFNOSUPPORT counts as no; other failures, such as no descriptor left, are bindOne()'s to
/// report.
bool hasIpv6() {
  return UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)) || errno != EAFNOSUPPORT;
}

/// What a configured address comes to: several for a name, each as getaddrinfo(3) gave it.
Result<std::vector<AddrInfos>> targetsOf(const ListenAddress& address, bool dualStack,
                                         const ResolvedNames* names) {
  std::vector<AddrInfos> targets;
  const bool everywhere = address.host.empty();
  if (everywhere || names == nullptr || IpAddress::parse(address.host)) {
    const char* host = !everywhere ? address.host.c_str() : dualStack ? "::" : "0.0.0.0";
    auto resolved = resolve(address, host, names != nullptr);
    if (!resolved) return resolved.error();
    targets.push_back(std::move(*resolved));
    return targets;
  }
  const auto [first, last] = names->equal_range(address.host);
  if (first == last) return unresolved(address, "no address is known");
  for (auto each = first; each != last; ++each) {
    auto resolved = resolve(address, each->second.c_str(), true);
    if (!resolved) return resolved.error();
    targets.push_back(std::move(*resolved));
  }
  return targets;
}

Result<Sockets> bindAddress(const ListenAddress& address, ListenerKind kind,
                            const ResolvedNames* names) {
  const bool dualStack = address.host.empty() && hasIpv6();
  auto targets = targetsOf(address, dualStack, names);
  if (!targets) return targets.error();
  Sockets sockets;
  std::optional<Error> missing;
  for (const AddrInfos& target : *targets) {
    for (const addrinfo* to = target.get(); to != nullptr; to = to->ai_next) {
      if (holds(sockets, *to)) continue;
      if (address.port == 0 && !sockets.empty()) break;  // they would get other ports
      auto socket = bindOne(address, kind, *to, dualStack);
      if (socket) {
        sockets.push_back(std::move(*socket));
      } else if (socket.error().code == ErrorCode::kBusy) {
        missing = socket.error();  // one of a name's addresses that this machine does not have
      } else {
        return socket.error();
      }
    }
  }
  if (sockets.empty() && missing) return *missing;
  return sockets;
}

/// True when `fd` is bound to exactly what bindAddress would bind `address` to.
bool boundTo(int fd, const ListenAddress& address) {
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  auto* generic = reinterpret_cast<sockaddr*>(&local);
  if (::getsockname(fd, generic, &size) != 0 || localPort(fd) != address.port) return false;
  const IpAddress ip = IpAddress::fromSockaddr(*generic);
  if (address.host.empty()) return ip == IpAddress() || ip == IpAddress::parse("0.0.0.0");
  return IpAddress::parse(address.host) == ip;
}

const char* nameOf(ListenerKind kind) {
  switch (kind) {
    case ListenerKind::kGemini:
      return "gemini";
    case ListenerKind::kTitan:
      return "titan";
    case ListenerKind::kSpartan:
      return "spartan";
    case ListenerKind::kStatus:
      break;
  }
  return "";
}

/// What stands in for the whole list of `kind` because systemd's unit names it so.
std::vector<ListenerSet::Listener> namedListeners(ListenerKind kind,
                                                  const std::vector<InheritedSocket>& inherited) {
  std::vector<ListenerSet::Listener> named;
  // Who may reach that page is checked in the configuration alone.
  if (kind == ListenerKind::kStatus) return named;
  for (const InheritedSocket& socket : inherited) {
    if (socket.name != nameOf(kind)) continue;
    named.push_back({{"", localPort(socket.fd->get())}, kind, {socket.fd}});
  }
  return named;
}

/// Takes the sockets of `address` out of `kept`, if they are there.
Sockets takeKept(std::vector<ListenerSet::Listener>& kept, const ListenAddress& address,
                 ListenerKind kind) {
  auto found = std::ranges::find_if(
      kept, [&](const auto& old) { return old.address == address && old.kind == kind; });
  if (found == kept.end() && address.port != 0) {
    // Not from workers to the status page or back: they may still be draining it.
    found = std::ranges::find_if(kept, [&](const auto& old) {
      return old.address == address &&
             (old.kind == ListenerKind::kStatus) == (kind == ListenerKind::kStatus);
    });
  }
  if (found == kept.end()) return {};
  Sockets sockets = std::move(found->sockets);
  kept.erase(found);
  return sockets;
}

}  // namespace

std::uint16_t localPort(int fd) {
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0) return 0;
  if (local.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in&>(local).sin_port);
  }
  if (local.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(local).sin6_port);
  }
  return 0;
}

Result<std::vector<InheritedSocket>> takeInheritedSockets() {
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(/*unset_environment=*/1, &names);
  if (count < 0) return errnoError("take the sockets of systemd", -count);
  std::vector<InheritedSocket> sockets;
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    sockets.push_back({std::make_shared<const ListeningSocket>(UniqueFd(fd)), names[i]});
    std::free(names[i]);
  }
  std::free(names);
  for (const InheritedSocket& socket : sockets) {
    const int fd = socket.fd->get();
    if (::sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, /*listening=*/1) <= 0) {
      return Error{ErrorCode::kInvalid, "systemd passed \"" + socket.name +
                                            "\", which is no listening stream socket; use "
                                            "ListenStream= in the socket unit"};
    }
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
  return sockets;
}

Result<ListenerSet> ListenerSet::open(const ListenConfig& config,
                                      const std::vector<InheritedSocket>& inherited,
                                      const ListenerSet& previous, const ResolvedNames* names,
                                      bool spartanMayFail,
                                      const std::vector<ListenAddress>& status) {
  ListenerSet set;
  std::vector<Listener> kept = previous.listeners_;
  const auto add = [&](ListenerKind kind,
                       const std::vector<ListenAddress>& addresses) -> Result<void> {
    const auto named = namedListeners(kind, inherited);
    set.listeners_.insert(set.listeners_.end(), named.begin(), named.end());
    if (!named.empty()) return {};
    for (const ListenAddress& address : addresses) {
      Sockets sockets;
      for (const InheritedSocket& socket : inherited) {
        if (boundTo(socket.fd->get(), address)) sockets.push_back(socket.fd);
      }
      if (sockets.empty()) sockets = takeKept(kept, address, kind);
      if (sockets.empty()) {
        auto bound = bindAddress(address, kind, names);
        const bool mayFail =
            kind == ListenerKind::kSpartan && spartanMayFail && !set.listeners_.empty();
        if (!bound && mayFail && bound.error().code == ErrorCode::kExists) {
          spdlog::warn("Spartan is not served: {}", bound.error().message);
          continue;
        }
        if (!bound) return bound.error();
        sockets = std::move(*bound);
      }
      set.listeners_.push_back({address, kind, std::move(sockets)});
    }
    return {};
  };
  if (auto added = add(ListenerKind::kGemini, config.gemini); !added) return added.error();
  if (auto added = add(ListenerKind::kTitan, config.titan); !added) return added.error();
  if (auto added = add(ListenerKind::kSpartan, config.spartan); !added) return added.error();
  if (auto added = add(ListenerKind::kStatus, status); !added) return added.error();
  return set;
}

ResolvedNames resolveNames(const ListenConfig& config, const ListenerSet& previous,
                           const std::vector<ListenAddress>& status) {
  ResolvedNames names;
  for (const auto* addresses : {&config.gemini, &config.titan, &config.spartan, &status}) {
    for (const ListenAddress& address : *addresses) {
      const auto& held = previous.listeners();
      if (address.host.empty() || IpAddress::parse(address.host) || names.contains(address.host) ||
          std::ranges::find(held, address, &ListenerSet::Listener::address) != held.end()) {
        continue;
      }
      const auto resolved = resolve(address, address.host.c_str(), false);
      for (const addrinfo* to = resolved ? resolved->get() : nullptr; to; to = to->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (::getnameinfo(to->ai_addr, to->ai_addrlen, text.data(), text.size(), nullptr, 0,
                          NI_NUMERICHOST) == 0) {
          names.emplace(address.host, text.data());
        }
      }
    }
  }
  return names;
}

std::vector<ListenerSocket> ListenerSet::sockets() const {
  std::vector<ListenerSocket> sockets;
  for (const Listener& listener : listeners_) {
    if (listener.kind == ListenerKind::kStatus) continue;
    for (const SharedFd& fd : listener.sockets) {
      sockets.push_back({fd->get(), listener.kind, localPort(fd->get())});
    }
  }
  return sockets;
}

std::vector<std::shared_ptr<const ListeningSocket>> ListenerSet::statusSockets() const {
  Sockets sockets;
  for (const Listener& listener : listeners_) {
    if (listener.kind != ListenerKind::kStatus) continue;
    sockets.insert(sockets.end(), listener.sockets.begin(), listener.sockets.end());
  }
  return sockets;
}

}  // namespace egalaxyd
