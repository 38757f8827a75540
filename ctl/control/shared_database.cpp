#include "ctl/control/shared_database.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/regular_file.h"
#include "common/config/config_loader.h"
#include "common/storage/schema.h"
#include "common/wire/machine_name.h"
#include "ctl/control/server_program.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestPassword = 4096;

Result<std::string> readPassword(const fs::path& file) {
  if (file.empty()) return std::string();
  auto text = readRegularFile(file, kLongestPassword);
  if (!text) return Error{text.error().code, file.string() + ": " + text.error().message};
  text->resize(std::min(text->find_first_of("\r\n"), text->size()));
  return text;
}

/// That of the workers where they have another than the master.
Result<std::unique_ptr<AsOwner>> accountOf(const fs::path& state) {
  std::error_code ignored;
  fs::create_directories(state, ignored);
  struct stat info {};
  if (::stat((state / kDatabaseFolder).c_str(), &info) != 0 &&
      ::stat(state.c_str(), &info) != 0) {
    return errnoError("look at " + state.string(), errno);
  }
  auto account = std::make_unique<AsOwner>(info);
  if (account->failure() != 0) return errnoError("become the owner of " + state.string(), EPERM);
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
  const StorageConfig& storage = config.storage;
  if (storage.engine == StorageKind::kSqlite) {
    return Error{ErrorCode::kInvalid,
                 "no database is shared: storage.engine is \"sqlite\"; set it to \"postgresql\""};
  }
  const auto engine = loadDatabaseEngine();
  if (!engine) return engine.error();
  SharedDatabase database{*engine, {}, nullptr};
  database.access.patience = storage.patience;
  database.access.host = storage.host.empty() ? machineName() : storage.host;
  auto password = readPassword(storage.password);
  if (!password) return password.error();
  database.access.password = std::move(*password);
  auto url = (*engine)->resolve(storage.url);
  if (!url) return url.error();
  database.access.url = std::move(*url);
  auto account = accountOf(config.server.stateDir);
  if (!account) return account.error();
  database.account = std::move(*account);
  if (auto ready = (*engine)->migrate(database.access); !ready) return ready.error();
  return database;
}

}  // namespace egalaxyd::ctl
