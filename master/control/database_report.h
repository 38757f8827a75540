// What `status` and `stats` tell of the storage.
#pragma once

#include <Poco/JSON/Object.h>

#include "master/control/managed_master.h"

namespace egalaxyd {

/// "state": "ok", "degraded" (something needs it in vain, or some threads of the workers do),
/// "away" (none reaches the shared database) or "regressed" (that has forgotten what it had
/// acknowledged: nothing is written any more); "error". Of a shared database, where it is too.
Poco::JSON::Object describeStorage(const MasterView& master);

/// Figures of the shared database, but for the times of its commits; empty with SQLite.
Poco::JSON::Object storageFigures(const MasterView& master);

}  // namespace egalaxyd
