#include "common/system/script_account.h"

#include <sys/stat.h>

#include <optional>
#include <utility>

namespace egalaxyd {
namespace {

bool isSocket(const std::filesystem::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

/// nullopt: such a master cannot have a launcher of it.
std::optional<ScriptAccount> had(const Account& account, const ServerConfig& server, uid_t master) {
  if (account.uid == master) return ScriptAccount{account, LauncherWay::kOwn, {}, true};
  if (master == 0) return ScriptAccount{account, LauncherWay::kForked, {}, false};
  auto socket = launcherSocket(server.runtimeDir, account.user);
  if (!isSocket(socket)) return std::nullopt;
  return ScriptAccount{account, LauncherWay::kSystemd, std::move(socket), false};
}

/// Where nobody named an account and scripts have none of their own.
Result<ScriptAccount> workersOwn(const std::optional<Account>& workers, uid_t master) {
  if (workers) return ScriptAccount{*workers, LauncherWay::kForked, {}, true};
  if (master != 0) return ScriptAccount{accountOf(master), LauncherWay::kOwn, {}, true};
  const auto nobody = accountNamed("nobody");
  if (!nobody) return nobody.error();
  if (*nobody && (*nobody)->uid != 0) {
    return ScriptAccount{**nobody, LauncherWay::kForked, {}, false};
  }
  return Error{ErrorCode::kPermission,
               "the workers are root, which scripts never are, and there is no account nobody: "
               "name one with dynamic.account"};
}

}  // namespace

std::filesystem::path launcherSocket(const std::filesystem::path& runtimeDir,
                                     const std::string& account) {
  return runtimeDir / ("launcher-" + account + ".sock");
}

Result<ScriptAccount> scriptAccount(const std::string& configured, const ServerConfig& server,
                                    uid_t master) {
  std::optional<Account> workers;
  if (master == 0) {
    auto found = workerAccount(server.user, server.group);
    if (!found) return found.error();
    workers = std::move(*found);
  }
  const auto named = accountNamed(configured.empty() ? kScriptAccount : configured);
  if (!named) return named.error();
  if (*named && (*named)->uid != 0) {
    if (auto result = had(**named, server, master)) {
      result->isWorkers = result->isWorkers || (workers && workers->uid == result->account.uid);
      return std::move(*result);
    }
  }
  if (configured.empty()) return workersOwn(workers, master);
  if (!*named) {
    return Error{ErrorCode::kNotFound,
                 "there is no account \"" + configured + "\" on this machine"};
  }
  if ((*named)->uid == 0) {
    return Error{ErrorCode::kPermission, "\"" + configured + "\" is root, which scripts never are"};
  }
  return Error{ErrorCode::kNotFound,
               "the account \"" + configured +
                   "\" cannot be had: this server is not root, and systemd offers it no " +
                   launcherSocket(server.runtimeDir, configured).string() +
                   "; systemctl enable --now egalaxyd-launcher@" + configured + ".socket"};
}

}  // namespace egalaxyd
