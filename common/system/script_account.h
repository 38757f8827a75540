// Which account scripts run as, and by which way the master gets a launcher of it.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// Scripts' own, made by the packages; taken where dynamic.account is "" and it can be had.
inline constexpr const char* kScriptAccount = "egalaxyd-cgi";

enum class LauncherWay {
  kForked,   ///< the master is root: it forks the launcher, which becomes `account` for good
  kSystemd,  ///< the master is not: systemd starts it behind `socket`
  kOwn,      ///< the account is the master's own: it forks the launcher, which changes none
};

struct ScriptAccount {
  Account account;  ///< never root
  LauncherWay way = LauncherWay::kOwn;
  std::filesystem::path socket;  ///< of kSystemd: SOCK_SEQPACKET, made and held by systemd
  bool isWorkers = false;        ///< workers have the same account
};

/// Where systemd offers the launcher of `account` to a master with these run-time files.
std::filesystem::path launcherSocket(const std::filesystem::path& runtimeDir,
                                     const std::string& account);

/// What `configured`, dynamic.account or a mount's account, stands for under a master that runs as
/// `master`. "": kScriptAccount if that can be had, else the workers' own, and nobody where those
/// are root. Fails where the account does not exist, is root or cannot be had: the message says
/// what to do. `server.runtimeDir` is filled in. Asks the user database, which may wait.
Result<ScriptAccount> scriptAccount(const std::string& configured, const ServerConfig& server,
                                    uid_t master = ::geteuid());

}  // namespace egalaxyd
