// What the control socket tells of the hosts that share the database.
#pragma once

#include <Poco/JSON/Object.h>

#include <optional>
#include <string>
#include <vector>

#include "common/cluster/database_engine.h"
#include "common/config/config.h"
#include "common/storage/storage.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// A host writes its row each 5 s: one that has not for so long is away.
inline constexpr std::chrono::seconds kHostIsAway{20};

/// The hosts by name, and in "remarks" what an operator should look at: hosts that are away, that
/// differ in version or configuration, that have not got all content. `now` by the database's
/// clock, roughly. `name` and `instance` are this host's own: a row of that name that another one
/// writes is told of. Pure.
Poco::JSON::Object describeFleet(std::vector<FleetHost> hosts, WallTime now,
                                 const std::string& name, const std::string& instance);

/// The same of the server's database, in a process that was forked for it, which becomes `account`.
/// Blocks, no longer than the deadlines of the database.
/// `instance`: of this start, as its row has it; "": it has written none yet.
Poco::JSON::Object askFleet(const Config& config, const std::optional<Account>& account,
                            const std::string& instance);

}  // namespace egalaxyd
