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

/// The account that workers run as. nullopt when the process is not root, or when `user` is empty
/// and there is no account "egalaxyd". `group` "" means the account's own.
Result<std::optional<Account>> workerAccount(const std::string& user, const std::string& group);

/// Gives up root, supplementary groups included, and checks that there is no way back.
Result<void> dropPrivileges(const Account& account);

}  // namespace egalaxyd
