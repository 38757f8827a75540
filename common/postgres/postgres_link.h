// A connection for what is not a worker's write: the follower, the fleet, tools.
#pragma once

#include <memory>

#include "common/base/result.h"
#include "common/cluster/database_engine.h"

namespace egalaxyd::postgres {

/// As DatabaseEngine::openLink().
Result<std::unique_ptr<DatabaseLink>> openPostgresLink(const DatabaseAccess& access,
                                                       DatabaseSight& sight);

}  // namespace egalaxyd::postgres
