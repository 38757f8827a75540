// From root to the workers' account, for good.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/base/result.h"

namespace egalaxyd {

struct Account {
  std::string user;
  uid_t uid = 0;
  gid_t gid = 0;
  bool isFallback = false;       ///< "nobody": programs that are not ours may run as it, too
  bool isGroupFallback = false;  ///< likewise its group
};

/// The account of that name; nullopt: there is none. Fails when it cannot be looked up now.
Result<std::optional<Account>> accountNamed(const std::string& name);
/// That of a process; its number stands for the name that it may not have.
Account accountOf(uid_t uid);

/// The account that workers run as. nullopt: they keep the master's, because it is not root, or
/// because `user` is root itself. `user` "": egalaxyd, else nobody. `group` "": the account's own.
/// Fails when a named account or group does not exist, when it cannot be looked up now, and, with
/// kPermission, when `user` is "" and there is neither of the two: nobody becomes root unsaid.
Result<std::optional<Account>> workerAccount(const std::string& user, const std::string& group);

/// Whose members may command the server: the account's group, but not one that others share.
std::optional<Account> controlOwner(std::optional<Account> account);

/// For a worker: becomes `account` with its groups, if there is one, and checks that there is no
/// way back; gives up all capabilities, those that a program could bring back included, and new
/// privileges through setuid programs. Also where the account stays root.
Result<void> dropPrivileges(const std::optional<Account>& account);

/// For a master that is root: gives up the capabilities that it never uses. Another account keeps
/// what it was given.
Result<void> keepMasterCapabilities();

/// From now on other processes of this account may neither trace this one nor open its memory or
/// its list of descriptors (PR_SET_DUMPABLE); root may. There is no core dump either. What it forks
/// inherits this, and keeps it as long as it starts no other program.
Result<void> denyTracing();

}  // namespace egalaxyd
