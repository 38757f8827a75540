#include "master/child/shared_database.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/path.h"
#include "common/base/units.h"
#include "common/cluster/database_access.h"
#include "common/cluster/database_engine.h"
#include "common/cluster/own_sight.h"
#include "common/cluster/server_storage.h"
#include "common/system/sandbox.h"
#include "master/child/database.h"

namespace egalaxyd {
namespace {

constexpr auto kTrial = std::chrono::seconds(3);

void warnOfLargeUploads(const Config& config, const std::vector<MountConfig>& mounts,
                        Complaints& warnings) {
  for (const MountConfig& mount : mounts) {
    const auto* directory = std::get_if<DirectoryArgs>(&mount.args);
    if (directory != nullptr && directory->upload &&
        directory->upload->maxSize > kLargeSharedUpload) {
      warnings.push_back(
          {whereOf(config, mount),
           fmt::format("upload.max_size is {}: beyond {} an upload holds up others, since the "
                       "database and each host write it",
                       sizeText(directory->upload->maxSize), sizeText(kLargeSharedUpload))});
    }
    if (const auto* nested = nestedMounts(mount.args))
      warnOfLargeUploads(config, *nested, warnings);
  }
}

/// What the facts tell that the operator may not have meant.
std::vector<std::string> remarksOn(const Result<DatabaseFacts>& facts) {
  if (!facts) {
    return {fmt::format("the database cannot be used now: {}; the server starts without it",
                        printable(facts.error().message))};
  }
  std::vector<std::string> remarks;
  if (!facts->waitsForStandby) {
    remarks.emplace_back(
        "synchronous_standby_names is empty at the database: an acknowledged upload is on one "
        "machine only");
  } else if (facts->standbys == 0) {
    remarks.emplace_back(
        "synchronous_standby_names is set at the database, but no standby is connected to it: "
        "uploads wait until one is");
  }
  return remarks;
}

Result<DatabaseFacts> factsOf(const StorageConfig& storage) {
  const auto engine = loadDatabaseEngine();
  if (!engine) return engine.error();
  OwnSight sight;
  const auto link = (*engine)->openLink(databaseAccess(storage), sight);
  if (!link) return link.error();
  if (auto fit = (*link)->examine(); !fit) return fit.error();
  return (*link)->facts();
}

}  // namespace

void readDatabaseSecrets(Config& config, Findings& found) {
  StorageConfig& storage = config.storage;
  if (storage.engine == StorageKind::kSqlite || storage.url.empty()) return;
  const auto complain = [&](const char* key, const Error& error) {
    found.complaints.push_back(complaintOf(config.where(key), error));
  };
  for (const SiteConfig& site : config.sites) {
    warnOfLargeUploads(config, site.mounts, found.warnings);
  }
  const auto engine = loadDatabaseEngine();
  if (!engine) return complain("storage.engine", engine.error());
  if (auto good = (*engine)->checkUrl(storage.url); !good) complain("storage.url", good.error());
  auto secret = readDatabasePassword(storage.password);
  if (!secret) return complain("storage.password", secret.error());
  storage.secret = std::move(*secret);
}

void resolveDatabase(StorageConfig& storage) {
  if (storage.engine == StorageKind::kSqlite) return;
  const auto engine = loadDatabaseEngine();
  if (!engine) return;
  auto resolved = (*engine)->resolve(storage.url);
  if (resolved) {
    storage.url = std::move(*resolved);
  } else {
    spdlog::error("storage.url: {}; then reload", printable(resolved.error().message));
  }
}

Result<void> prepareSharedDatabase(const Config& config, const std::optional<Account>& owner) {
  return prepareApart([&] {
    auto confined = confineToStorage(config, owner);
    return confined ? migrateServerDatabase(config.storage) : confined;
  });
}

Result<void> confineToStorage(const Config& config, const std::optional<Account>& owner) {
  if (config.storage.engine == StorageKind::kSqlite) return confineToDatabase(config.server, owner);
  if (auto dropped = dropPrivileges(owner); !dropped) return dropped;
  SandboxRules rules;
  allowDatabase(rules, config.storage);
  const auto entered = enterSandbox(config.server.sandbox, rules);
  return entered ? Result<void>() : entered.error();
}

Complaints tryDatabase(const Config& config) {
  // A thread that still waits is left behind: this process ends soon.
  auto promise = std::make_shared<std::promise<Result<DatabaseFacts>>>();
  auto answer = promise->get_future();
  std::thread([promise, storage = config.storage] {
    promise->set_value(factsOf(storage));
  }).detach();
  const Result<DatabaseFacts> facts =
      answer.wait_for(kTrial) == std::future_status::ready
          ? answer.get()
          : Result<DatabaseFacts>(Error{ErrorCode::kBusy, "it does not answer"});
  Complaints warnings;
  for (std::string& remark : remarksOn(facts)) {
    warnings.push_back({config.where("storage.url"), std::move(remark)});
  }
  return warnings;
}

}  // namespace egalaxyd
