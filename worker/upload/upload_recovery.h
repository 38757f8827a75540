// What workers that have died left of uploads, put in order.
#pragma once

#include <cstddef>
#include <string>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/shared/worker_id.h"

namespace egalaxyd {

struct RecoveredUploads {
  std::size_t removed = 0;  ///< unfinished files
  std::size_t settled = 0;  ///< records of changes that have happened
  std::size_t dropped = 0;  ///< records of changes that have not
  std::size_t left = 0;     ///< records that stay pending, because of `why`
  std::string why = {};
};

/// Settles or drops the records that `dead` workers left pending, by what their files hold, and
/// removes the unfinished files that they name. No row keeps it from the others. Blocking; other
/// workers may serve meanwhile. What a living process still writes stays.
Result<RecoveredUploads> recoverUploads(const Config& config, const DeadWorkers& dead);

}  // namespace egalaxyd
