#include "ctl/control/shared_database.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "common/base/errno_error.h"
#include "common/cluster/database_access.h"
#include "common/config/config_loader.h"
#include "common/storage/schema.h"
#include "ctl/control/server_program.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

Error notTheOwner(const fs::path& file) {
  return errnoError("become the owner of " + file.string(), EPERM);
}

/// Root reads it as the account whose it is, which the server runs as.
Result<std::string> passwordIn(const fs::path& file) {
  struct stat info {};
  if (file.empty()) return std::string();
  if (::stat(file.c_str(), &info) != 0) return errnoError(file.string(), errno);
  const AsOwner owner(info);
  return owner.failure() == 0 ? readDatabasePassword(file) : notTheOwner(file);
}

/// That of the workers where they have another than the master.
Result<std::unique_ptr<AsOwner>> serverAccount(const fs::path& state) {
  std::error_code ignored;
  fs::create_directories(state, ignored);
  struct stat info {};
  if (::stat((state / kDatabaseFolder).c_str(), &info) != 0 && ::stat(state.c_str(), &info) != 0) {
    return errnoError("look at " + state.string(), errno);
  }
  auto account = std::make_unique<AsOwner>(info);
  if (account->failure() != 0) return notTheOwner(state);
  return account;
}

}  // namespace

Result<Config> namedConfiguration(const Invocation& invocation) {
  const auto named = invocation.options.find("config");
  const LikelyConfiguration likely =
      named == invocation.options.end()
          ? likelyConfiguration()
          : LikelyConfiguration{{"--config=" + named->second}, named->second};
  const auto dumped = dumpedConfiguration(likely, invocation.err);
  if (!dumped) return dumped.error();
  return parseConfig(*dumped, "egalaxyd --dump").config;
}

Result<SharedDatabase> openSharedDatabase(const Config& config) {
  StorageConfig storage = config.storage;
  if (storage.engine == StorageKind::kSqlite) {
    return Error{ErrorCode::kInvalid,
                 "no database is shared: storage.engine is \"sqlite\"; set it to \"postgresql\""};
  }
  const auto engine = loadDatabaseEngine();
  if (!engine) return engine.error();
  auto password = passwordIn(storage.password);
  if (!password) return password.error();
  storage.secret = std::move(*password);
  auto url = (*engine)->resolve(storage.url);
  if (!url) return url.error();
  storage.url = std::move(*url);
  auto account = serverAccount(config.server.stateDir);
  if (!account) return account.error();
  SharedDatabase database{*engine, databaseAccess(storage), std::move(*account)};
  if (auto ready = (*engine)->migrate(database.access); !ready) return ready.error();
  return database;
}

}  // namespace egalaxyd::ctl
