#include "master/supervise/generation_notes.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

/// For one log line: the first few, and how many more.
std::string listed(const std::vector<std::string>& items) {
  constexpr std::size_t kMost = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(items.size(), kMost); ++i) text += " " + items[i];
  if (items.size() > kMost) text += fmt::format(" and {} more", items.size() - kMost);
  return text;
}

}  // namespace

std::string countWorkers(std::uint32_t workers) {
  return fmt::format("{} worker{}", workers, workers == 1 ? "" : "s");
}

void noteListeners(const Generation& generation, const std::vector<InheritedSocket>& inherited) {
  for (const ListenerSet::Listener& listener : generation.listeners.listeners()) {
    for (const auto& socket : listener.sockets) {
      const ListenAddress real{listener.address.host, localPort(socket->get())};
      spdlog::info("listening on {} for {}", real.text(), protocolsOf(listener.kind));
    }
  }
  const auto used = generation.listeners.sockets();
  for (const InheritedSocket& socket : inherited) {
    const int fd = socket.fd->get();
    if (std::ranges::find(used, fd, &ListenerSocket::fd) != used.end()) continue;
    spdlog::warn("systemd's socket \"{}\" on port {} is unused: no listen address matches it",
                 logQuote(socket.name), localPort(fd));
  }
}

void noteAccount(const Generation& generation) {
  if (::geteuid() == 0 && !generation.account) {
    spdlog::warn(
        "workers run as root, as server.user says: without capabilities, but what is root's is "
        "theirs; make an account (useradd --system egalaxyd) and leave server.user empty");
  } else if (generation.account && generation.account->isFallback) {
    spdlog::warn(
        "there is no account \"egalaxyd\": workers run as nobody, as other programs may that can "
        "then read what is kept of users; make one (useradd --system egalaxyd), or name another "
        "with --user or server.user");
  } else if (::geteuid() != 0 && !generation.config.server.user.empty()) {
    spdlog::warn("server.user is for a start as root; workers keep this account");
  }
}

/// Connections of a worker have descriptors, and so do the files that they are sent.
void noteOpenFiles(const Generation& generation) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const std::uint64_t wanted = generation.config.limits.connections;
  const std::uint64_t logs = generation.logs.size();
  const std::uint64_t files = limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, logs);
  const std::uint64_t most = connectionsWithin(files) * generation.workers;
  if (most >= wanted) return;
  spdlog::warn(
      "limits.connections is {}, but {} with {} open files each can hold {}: raise the limit on "
      "open files to {} (LimitNOFILE= in the unit, ulimit -Hn in a shell)",
      wanted, countWorkers(generation.workers), limit.rlim_cur, most,
      logs + openFilesFor((wanted + generation.workers - 1) / generation.workers));
}

void noteReady(const Generation& generation, const std::vector<ServedUrl>& urls) {
  std::vector<std::string> reached;
  for (const ServedUrl& url : urls) {
    if (url.trouble.empty()) reached.push_back(url.url);
  }
  spdlog::info("ready: generation {}, {}{}{}", generation.number, countWorkers(generation.workers),
               reached.empty() ? "" : ",", listed(reached));
}

}  // namespace egalaxyd
