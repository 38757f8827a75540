// What this machine has to say of the scripts, applications and proxied capsules of a
// configuration, beyond the rules of common/config/dynamic_check.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include "common/config/findings.h"

namespace egalaxyd {

/// Adds to `found` what is wrong with accounts, folders, scripts, certificates and addresses.
/// `master`: the account that the server has or will have. Looks with the eyes of the scripts'
/// account where this process is root. Disks and name servers are asked by processes of their own,
/// with a deadline. `config` has its state and run-time folders filled in.
void lookAtPrograms(const Config& config, Findings& found, uid_t master = ::geteuid());

}  // namespace egalaxyd
