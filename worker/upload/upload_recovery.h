// What a crash left of uploads, put in order before anything serves.
#pragma once

#include <cstddef>

#include "common/config.h"
#include "common/result.h"

namespace egalaxyd {

struct RecoveredUploads {
  std::size_t removed = 0;  ///< files without a name of their own
  std::size_t settled = 0;  ///< records of changes that have happened
  std::size_t dropped = 0;  ///< records of changes that have not
};

/// Removes unfinished files from the folders that take uploads, and settles or drops the records
/// that are still pending by what their files hold. Blocking; before any worker of this state
/// folder runs. Unfinished files that another server is still writing stay.
Result<RecoveredUploads> recoverUploads(const Config& config);

}  // namespace egalaxyd
