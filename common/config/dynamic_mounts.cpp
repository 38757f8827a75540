#include "common/config/dynamic_mounts.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "common/shared/home_places.h"

namespace egalaxyd {
namespace {

constexpr std::uint32_t kProcessesPerCpu = 8;
constexpr std::uint32_t kFewestProcesses = 16;

/// Connections to each user's application, where `processes` names no number.
constexpr std::uint32_t kUsualConnections = 8;

/// nullptr: it has none.
std::shared_ptr<const UpstreamArgs> upstreamsOf(const ModuleArgs& args) {
  const auto ofConfiguration = [](const UpstreamArgs& upstream) {
    return std::shared_ptr<const UpstreamArgs>(std::shared_ptr<void>(), &upstream);
  };
  if (const auto* scgi = std::get_if<ScgiArgs>(&args)) return ofConfiguration(scgi->upstream);
  if (const auto* fastcgi = std::get_if<FastcgiArgs>(&args)) {
    return ofConfiguration(fastcgi->upstream);
  }
  if (const auto* proxy = std::get_if<ProxyArgs>(&args)) return ofConfiguration(proxy->upstream);
  const auto* homes = std::get_if<HomesArgs>(&args);
  if (homes == nullptr || homes->socket.empty()) return nullptr;
  UpstreamArgs sockets;
  sockets.to = {"unix:" + homes->socket};
  sockets.connections = homes->processes == 0 ? kUsualConnections : homes->processes;
  return std::make_shared<const UpstreamArgs>(std::move(sockets));
}

CgiArgs scriptsOf(const HomesArgs& homes, const std::string& user) {
  CgiArgs args;
  args.program = homes.program;
  args.root = homes.root / homes.cgi;
  if (user != kAnyUser) args.root = placeOfUser(args.root, user);
  args.symlinks = homes.symlinks;
  args.account = homes.asUser ? user : "";
  args.processes = homes.processes;
  return args;
}

/// What "*" stands for covers the names beside it.
std::vector<std::string> usersWithScripts(const HomesArgs& homes) {
  if (homes.cgi.empty()) return {};
  if (isListed(homes.users, kAnyUser)) return {std::string(kAnyUser)};
  return homes.users;
}

void addScripts(const MountConfig& mount, const std::string& path, DynamicMounts& all) {
  const auto number = [&all] { return static_cast<std::uint32_t>(all.scripts.size()); };
  if (const auto* cgi = std::get_if<CgiArgs>(&mount.args)) {
    const std::shared_ptr<void> nobody;
    all.scripts.push_back({number(), &mount, std::shared_ptr<const CgiArgs>(nobody, cgi), path});
  }
  const auto* homes = std::get_if<HomesArgs>(&mount.args);
  if (homes == nullptr) return;
  for (const std::string& user : usersWithScripts(*homes)) {
    const std::string place = user == kAnyUser ? path : path + user + "/" + homes->cgi;
    all.scripts.push_back(
        {number(), &mount, std::make_shared<const CgiArgs>(scriptsOf(*homes, user)), place, user});
  }
}

void collect(const std::vector<MountConfig>& mounts, const std::string& host,
             const std::string& above, DynamicMounts& all) {
  for (const MountConfig& mount : mounts) {
    const std::string path = mount.path == "/" && !above.empty() ? above : above + mount.path;
    addScripts(mount, path, all);
    if (const auto upstreams = upstreamsOf(mount.args)) {
      for (const std::string& address : upstreams->to) {
        all.upstreams.push_back({static_cast<std::uint32_t>(all.upstreams.size()), &mount,
                                 upstreams, host, path, address});
      }
    }
    const auto* nested = nestedMounts(mount.args);
    if (nested != nullptr) collect(*nested, host, path == "/" ? "" : path, all);
  }
}

}  // namespace

DynamicMounts dynamicMounts(const Config& config) {
  DynamicMounts all;
  for (const SiteConfig& site : config.sites) collect(site.mounts, site.host, "", all);
  return all;
}

std::vector<std::string> scriptAccounts(const Config& config) {
  std::vector<std::string> accounts{config.dynamic.account};
  for (const CgiMount& script : dynamicMounts(config).scripts) {
    const std::string& account = script.args->account;
    if (account.empty()) continue;
    if (std::find(accounts.begin(), accounts.end(), account) == accounts.end()) {
      accounts.push_back(account);
    }
  }
  return accounts;
}

std::uint32_t scriptProcesses(const DynamicConfig& dynamic) {
  if (dynamic.processes != 0) return dynamic.processes;
  return std::max(std::thread::hardware_concurrency() * kProcessesPerCpu, kFewestProcesses);
}

}  // namespace egalaxyd
