// From root to the workers' account, for good.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/result.h"

namespace egalaxyd {

struct Account {
  std::string user;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// The account that workers run as. nullopt: they keep the master's, because it is not root,
/// because `user` is empty and there is no account "egalaxyd", or because `user` is root itself.
/// `group` "" means the account's own. Fails when a named account or group does not exist, or
/// when it cannot be looked up now.
Result<std::optional<Account>> workerAccount(const std::string& user, const std::string& group);

/// Gives up root for the account and its groups, and new privileges through setuid programs too;
/// checks that there is no way back.
Result<void> dropPrivileges(const Account& account);

/// Gives up the capabilities that another account than root was started with, such as those of a
/// unit's AmbientCapabilities=. Root keeps its own: it owns what it serves.
Result<void> dropCapabilities();

/// From now on other processes of this account may neither trace this one nor open its memory or
/// its list of descriptors (PR_SET_DUMPABLE); root may. There is no core dump either. What it forks
/// inherits this, and keeps it as long as it starts no other program.
Result<void> denyTracing();

}  // namespace egalaxyd
