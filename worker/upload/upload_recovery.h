// Recovers the uploads of workers that have died.
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

/// Settles or drops the pending records of `dead` workers, judged by the contents of their files,
/// and removes the unfinished files that they name. A record that cannot be recovered does not stop
/// the others. Blocking; other workers may serve meanwhile. Files still being written stay.
Result<RecoveredUploads> recoverUploads(const Config& config, const DeadWorkers& dead);

}  // namespace egalaxyd
