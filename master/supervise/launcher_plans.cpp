#include "master/supervise/launcher_plans.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <variant>

#include "common/config/dynamic_mounts.h"
#include "common/shared/home_places.h"

namespace egalaxyd {
namespace {

/// Where a mount names no number.
constexpr std::uint32_t kUsualProcesses = 8;
/// A worker ends a run by its clocks, which stand still while the client holds the run up. The
/// launcher's stands never, and is for workers that forget theirs.
constexpr int kTimesLonger = 4;
constexpr std::chrono::seconds kMoreTime{60};

using Variables = std::vector<std::pair<std::string, std::string>>;

/// What is written in the configuration stands above what the server has.
Variables variablesOf(const CgiArgs& args, const LauncherSources& sources) {
  Variables variables(args.program.env.begin(), args.program.env.end());
  for (const std::string& name : args.pass) {
    if (args.program.env.contains(name)) continue;
    if (auto value = sources.variable(name)) variables.emplace_back(name, std::move(*value));
  }
  return variables;
}

ScriptMount scriptMount(const CgiMount& cgi, std::uint32_t mostProcesses,
                        const LauncherSources& sources) {
  const CgiArgs& args = *cgi.args;
  ScriptMount mount;
  mount.number = cgi.number;
  mount.name = cgi.path;
  mount.root = args.root;
  mount.anyUser = cgi.user == kAnyUser;
  const auto* homes = std::get_if<HomesArgs>(&cgi.mount->args);
  mount.ownOnly = homes != nullptr && homes->asUser;
  mount.program = args.script;
  mount.arguments = args.args;
  mount.folder = args.cwd;
  mount.environment = variablesOf(args, sources);
  mount.followsLinks = args.symlinks == SymlinkPolicy::kFollow;
  mount.processes = args.processes != 0 ? args.processes : std::min(kUsualProcesses, mostProcesses);
  if (args.cpuTime) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*args.cpuTime);
    mount.cpuSeconds = static_cast<std::uint64_t>(seconds.count());
  }
  if (const auto& whole = args.program.times.whole) {
    mount.whole = *whole;
    mount.longest = kTimesLonger * *whole + kMoreTime;
  }
  return mount;
}

LauncherPlan planOf(const Config& config, const DynamicMounts& mounts, const std::string& account,
                    const LauncherSources& sources) {
  const DynamicConfig& dynamic = config.dynamic;
  LauncherPlan plan;
  plan.processes = scriptProcesses(dynamic);
  plan.queue = dynamic.queue;
  plan.queueTimeout = dynamic.queueTimeout;
  for (const CgiMount& cgi : mounts.scripts) {
    const std::string& own = cgi.args->account;
    if ((own.empty() ? dynamic.account : own) != account) continue;
    plan.mounts.push_back(scriptMount(cgi, plan.processes, sources));
  }
  if (account != dynamic.account) return plan;
  for (const UpstreamMount& upstream : mounts.upstreams) {
    UpstreamPlace& place = plan.upstreams.emplace_back();
    place.number = upstream.number;
    place.address = upstream.address;
    place.connectTimeout = upstream.args->connectTimeout;
    const auto* homes = std::get_if<HomesArgs>(&upstream.mount->args);
    if (homes == nullptr) continue;
    place.users = homes->users;
    place.minUid = homes->minUid;
  }
  return plan;
}

/// The key that names `account`, for complaints.
std::string whereNamed(const Config& config, const DynamicMounts& mounts,
                       const std::string& account) {
  const auto names = [&](const CgiMount& cgi) { return cgi.args->account == account; };
  const auto found = std::ranges::find_if(mounts.scripts, names);
  if (account == config.dynamic.account || found == mounts.scripts.end()) {
    return config.where("dynamic.account");
  }
  return config.where(found->mount->dottedKey + (found->user.empty() ? ".account" : ".users"));
}

}  // namespace

LauncherSources LauncherSources::ofProcess(const ServerConfig& server) {
  return {[server](const std::string& configured) { return scriptAccount(configured, server); },
          [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            return value == nullptr ? std::nullopt : std::optional<std::string>(value);
          }};
}

std::vector<WantedLauncher> wantedLaunchers(const Config& config, const LauncherSources& sources,
                                            Complaints& complaints) {
  std::vector<WantedLauncher> wanted;
  const DynamicMounts mounts = dynamicMounts(config);
  if (mounts.none()) return wanted;
  for (const std::string& name : scriptAccounts(config)) {
    auto account = sources.account(name);
    if (!account) {
      complaints.push_back(complaintOf(whereNamed(config, mounts, name), account.error()));
      continue;
    }
    LauncherPlan plan = planOf(config, mounts, name, sources);
    if (account->isWorkers) {
      plan.hidden = {config.server.stateDir.string(), config.server.runtimeDir.string()};
    }
    wanted.push_back({std::move(*account), std::move(plan)});
  }
  return wanted;
}

}  // namespace egalaxyd
