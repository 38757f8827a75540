#include "master/supervise/generation.h"

#include <sched.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sysexits.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "common/base/limits.h"
#include "common/config/config_check.h"
#include "common/system/log.h"
#include "common/system/master_files.h"
#include "common/wire/machine_name.h"
#include "common/wire/uri.h"
#include "master/child/database.h"
#include "master/child/shared_database.h"
#include "master/child/spool.h"
#include "master/start/server_paths.h"
#include "master/supervise/account_look.h"
#include "master/supervise/effective_config.h"
#include "master/supervise/program_look.h"

namespace egalaxyd {
namespace {

/// Warnings of one kind.
constexpr std::size_t kMostPlacesTold = 8;
/// Warnings about one configuration.
constexpr std::size_t kMostWarnings = 100;

std::uint32_t usableCpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 1;
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&cpus)));
}

/// A worker that was taken over must not be able to change files that the master, as root, opens.
void warnAboutReach(const Account& account, const Config& config) {
  std::set<std::filesystem::path> told;
  std::set<std::filesystem::path> logs;
  for (const LogPlace& place : logPlaces(config)) logs.insert(place.target);
  for (std::filesystem::path file : masterFiles(config)) {
    // A log may be in a folder of theirs: it is opened with care.
    if (logs.contains(file)) file = file.parent_path();
    const auto place = placeInReach(account, file);
    if (!place || !told.insert(*place).second) continue;
    spdlog::warn(
        "{}, the workers' account, can change {}, and thereby what this server, which is "
        "root, finds at {}: give it to root",
        account.user, place->string(), file.string());
    if (told.size() == kMostPlacesTold) return;
  }
}

bool isWholeName(const std::string& host) { return host.find('*') == std::string::npos; }

/// The names that clients of `kind` can ask for.
std::vector<std::string> wholeNames(const Config& config, ListenerKind kind) {
  std::vector<std::string> names;
  bool served = config.sites.empty();  // a router out of a plug-in knows more than we do
  for (const SiteConfig& site : config.sites) {
    if (kind == ListenerKind::kSpartan && !site.spartan) continue;
    served = true;
    if (isWholeName(site.host)) names.push_back(site.host);
    std::ranges::copy_if(site.aliases, std::back_inserter(names), isWholeName);
  }
  if (served && names.empty()) names.push_back(machineName());
  return names;
}

bool answersAnyHost(const Config& config, ListenerKind kind) {
  return std::ranges::any_of(config.sites, [kind](const SiteConfig& site) {
    return (site.spartan || kind != ListenerKind::kSpartan) &&
           (site.host == "*" || std::ranges::find(site.aliases, "*") != site.aliases.end());
  });
}

std::string urlOf(ListenerKind kind, const std::string& host, std::uint16_t port) {
  const bool spartan = kind == ListenerKind::kSpartan;
  std::string url = fmt::format("{}://{}", spartan ? "spartan" : "gemini", hostInUrl(host));
  if (port != (spartan ? kSpartanPort : kGeminiPort)) url += fmt::format(":{}", port);
  return url + "/";
}

/// The server serves what is here, whatever becomes of the database; workers look for it.
void prepareShared(Generation& generation, Result<void> prepared) {
  resolveDatabase(generation.config.storage);
  const auto& state = generation.config.server.stateDir;
  if (prepared) prepared = prepareDatabaseFolder(state, generation.account);  // for the follower
  if (prepared) prepared = prepareSharedDatabase(generation.config, generation.account);
  generation.databaseIsReady = prepared.ok();
  if (prepared) return;
  generation.storageTrouble = prepared.error().message;
  spdlog::error("the database is not available: {}; pages are served, users and uploads wait",
                generation.storageTrouble);
}

}  // namespace

Failure failureOf(const Error& error, int otherwise) {
  switch (error.code) {
    case ErrorCode::kExists:
    case ErrorCode::kBusy:
    case ErrorCode::kAgain:
    case ErrorCode::kNotFound:
      return {EX_UNAVAILABLE, {error.message}};
    case ErrorCode::kNoSpace:
    case ErrorCode::kIo:
    case ErrorCode::kUnknown:
      return {EX_OSERR, {error.message}};
    case ErrorCode::kPermission:
      return {EX_NOPERM, {error.message}};
    case ErrorCode::kInvalid:
      break;
  }
  return {otherwise, {error.message}};
}

Failure failureOf(const Complaints& complaints) {
  const bool pass = std::ranges::all_of(complaints, &Complaint::mayPass);
  Failure failure{pass ? EX_UNAVAILABLE : EX_CONFIG, {}};
  for (const Complaint& complaint : complaints) {
    failure.messages.push_back(complaint.where + ": " + complaint.text);
  }
  return failure;
}

Findings everyFinding(LoadedConfig loaded) {
  Findings found;
  readDatabaseSecrets(loaded.config, found);
  static_cast<void>(buildServingPlan(loaded.config, PlanPurpose::kCheck, found));
  addComplaints(loaded.complaints, std::move(found.complaints));
  return {std::move(loaded.complaints), std::move(found.warnings)};
}

void logWarnings(const Complaints& warnings) {
  const std::size_t told = std::min(warnings.size(), kMostWarnings);
  for (std::size_t i = 0; i < told; ++i)
    spdlog::warn("{}: {}", warnings[i].where, warnings[i].text);
  if (told < warnings.size()) spdlog::warn("and {} more warnings", warnings.size() - told);
}

std::unique_ptr<Generation> prepareGeneration(const Config& config, Complaints& complaints,
                                              bool looks, const ServingPlan* kept) {
  auto generation = std::make_unique<Generation>();
  generation->config = config;
  generation->workers =
      config.server.workers == 0 ? std::min(usableCpus(), kMostWorkers) : config.server.workers;
  auto account = workerAccount(config.server.user, config.server.group);
  if (account) {
    generation->account = *account;
    if (*account) warnAboutReach(**account, config);
  } else {
    complaints.push_back(complaintOf("server.user", account.error()));
  }
  generation->launchers =
      wantedLaunchers(config, LauncherSources::ofProcess(config.server), complaints);
  Findings found;
  readDatabaseSecrets(generation->config, found);
  generation->plan = buildServingPlan(generation->config, PlanPurpose::kServe, found, kept);
  generation->places = servedPlaces(*generation->plan);
  if (looks && account) {
    Complaints seen = lookAs(*account, [&config] { return lookAtRoots(config); });
    std::ranges::move(seen, std::back_inserter(found.warnings));
    lookAtPrograms(config, found);
  }
  std::ranges::move(found.complaints, std::back_inserter(complaints));
  logWarnings(found.warnings);
  for (const LogPlace& place : logPlaces(config)) {
    if (auto log = openLogTarget(place.target)) {
      generation->logs.push_back(std::move(*log));
    } else {
      complaints.push_back(complaintOf(place.where, log.error()));
    }
  }
  return generation;
}

void prepareStorage(Generation& generation) {
  // A reload may name another account.
  const auto& state = generation.config.server.stateDir;
  auto prepared = makeServerFolder(state, generation.account);
  if (prepared && !generation.launchers.empty()) {
    if (auto spool = prepareSpool(state, generation.account); !spool) {
      spdlog::error("applications get no uploads: {}", spool.error().message);
    }
  }
  if (generation.config.storage.engine == StorageKind::kPostgresql) {
    return prepareShared(generation, std::move(prepared));
  }
  if (prepared) prepared = prepareDatabase(generation.config.server, generation.account);
  if (prepared) return;
  spdlog::error("users and uploads are not available: {}", prepared.error().message);
  // Workers wait for a lock; the master does not.
  if (prepared.error().code != ErrorCode::kBusy) {
    generation.storageTrouble = prepared.error().message;
  }
}

std::variant<std::unique_ptr<Generation>, Failure> buildGeneration(
    std::uint64_t number, const Config& config, const std::vector<InheritedSocket>& inherited,
    const ListenerSet& previous, const ResolvedNames* names, const ServingPlan* kept) {
  Complaints complaints;
  auto generation = prepareGeneration(config, complaints, names == nullptr, kept);
  if (!complaints.empty()) return failureOf(complaints);
  generation->number = number;
  auto listeners = ListenerSet::open(config.listen, inherited, previous, names,
                                     !wantsSpartan(config), config.status.listen);
  if (!listeners) return failureOf(listeners.error(), EX_CONFIG);
  generation->listeners = std::move(*listeners);
  if (generation->listeners.sockets().empty()) {
    return failureOf(Complaints{{"listen.gemini", "nothing to listen on: name an address"}});
  }
  return generation;
}

std::vector<ServedUrl> servedUrls(const Generation& generation) {
  std::vector<ServedUrl> urls;
  for (const ListenerSet::Listener& listener : generation.listeners.listeners()) {
    if (listener.kind == ListenerKind::kTitan || listener.kind == ListenerKind::kStatus ||
        listener.sockets.empty())
      continue;
    const std::uint16_t port = localPort(listener.sockets.front()->get());
    std::vector<std::string> names = wholeNames(generation.config, listener.kind);
    const bool here = !listener.address.host.empty();
    if (here && answersAnyHost(generation.config, listener.kind)) {
      names.push_back(listener.address.host);
    }
    for (const std::string& name : names) {
      ServedUrl served{urlOf(listener.kind, name, port), name, port};
      if (std::ranges::find(urls, served.url, &ServedUrl::url) == urls.end()) {
        urls.push_back(std::move(served));
      }
    }
  }
  return urls;
}

}  // namespace egalaxyd
