// Scripts may have the account of the workers, or of the master, always that of their launcher, and
// an account may lower the limits and the priority of all its processes.
#pragma once

#include "common/base/result.h"

namespace egalaxyd {

/// From now on this process and its descendants change limits and priorities of none but
/// themselves: EPERM. Needs no_new_privs. One thread only.
Result<void> leaveOthersLimits();

}  // namespace egalaxyd
