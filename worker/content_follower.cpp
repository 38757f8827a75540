#include "worker/content_follower.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "common/base/random_number.h"
#include "common/base/sha256.h"
#include "common/base/version.h"
#include "common/cluster/database_access.h"
#include "common/config/config_dump.h"
#include "common/storage/schema.h"
#include "common/system/log.h"
#include "worker/plan/serving_plan.h"
#include "worker/plan/tls_contexts.h"

namespace egalaxyd {
namespace {

constexpr const char* kFollowerLock = "follower.lock";

std::unique_ptr<DatabaseLink> openLink(const WorkerSetup& setup, SharedSight& sight) {
  const StorageConfig& storage = setup.plan->config.storage;
  if (storage.engine == StorageKind::kSqlite) return nullptr;
  const auto engine = loadDatabaseEngine();
  auto link = engine ? (*engine)->openLink(databaseAccess(storage), sight) : engine.error();
  if (link) return std::move(*link);
  spdlog::error("no connection to the database: {}", logQuote(link.error().message));
  return nullptr;
}

/// Of what is meant to be the same on all hosts: not their addresses and folders.
std::string digestOf(const ServingPlan& plan) {
  Config shared = plan.config;
  shared.storage = {};
  shared.listen = {};
  shared.server = {};
  std::string text = dumpConfig(shared);
  for (const ServedCertificate& served : plan.tls->served()) text += served.digest;
  return sha256Hex(text);
}

/// Made by the first process of this start of the service that asks.
std::uint64_t instanceOf(DatabaseBoard& board) {
  std::uint64_t made = 0;
  const std::uint64_t mine = randomNumber() | 1;
  return board.instance.compare_exchange_strong(made, mine) ? mine : made;
}

FleetHost fleetHost(const WorkerSetup& setup) {
  FleetHost host;
  host.name = databaseAccess(setup.plan->config.storage).host;
  host.version = kVersion;
  host.generation = static_cast<std::int64_t>(setup.generation);
  host.digest = digestOf(*setup.plan);
  host.instance = fmt::format("{:016x}", instanceOf(setup.shared->database()));
  host.started = wallNow().time_since_epoch().count();
  return host;
}

}  // namespace

std::unique_ptr<ChangeTeller> makeTeller(EventLoop& loop, const WorkerSetup& setup,
                                         SharedSight& sight) {
  auto link = openLink(setup, sight);
  return link ? std::make_unique<ChangeTeller>(loop, std::move(link)) : nullptr;
}

std::unique_ptr<Follower> makeFollower(const WorkerSetup& setup, SharedSight& sight) {
  auto link = openLink(setup, sight);
  if (!link) return nullptr;
  FollowerOptions options;
  options.lock = setup.plan->config.server.stateDir / kDatabaseFolder / kFollowerLock;
  options.host = fleetHost(setup);
  options.learnt = [&sight](const DatabaseFacts& facts) { sight.tell(facts); };
  return std::make_unique<Follower>(setup.plan->config, std::move(link), sight, std::move(options));
}

}  // namespace egalaxyd
