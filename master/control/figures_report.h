// What the status page shows.
#pragma once

#include <Poco/JSON/Object.h>

#include <optional>

#include "common/shared/fault_ring.h"
#include "master/control/managed_master.h"
#include "master/control/status_report.h"

namespace egalaxyd {

/// {"status":…,"statistics":…,"faults":[…]}: what `status` and `stats` answer, and the last
/// warnings and errors of the master (`own`) and of its workers, the newest first.
Poco::JSON::Object describeFigures(const MasterView& master,
                                   const std::optional<ReloadFailure>& failure,
                                   const FaultRing& own);

}  // namespace egalaxyd
