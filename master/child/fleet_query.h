// What the control socket tells of the hosts that share the database.
#pragma once

#include <Poco/JSON/Object.h>

#include <vector>

#include "common/cluster/database_engine.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// A host writes its row each 5 s: one that has not for so long is away.
inline constexpr std::chrono::seconds kHostIsAway{20};

/// The hosts by name, and in "remarks" what an operator should look at: hosts that are away, that
/// differ in version or configuration, that have not got all content. `now` by the database's
/// clock, roughly. Pure.
Poco::JSON::Object describeFleet(std::vector<FleetHost> hosts, WallTime now);

/// The same, asked of the database. Blocks, no longer than its deadlines; in a process of its own.
Poco::JSON::Object askFleet(const DatabaseEngine& engine, const DatabaseAccess& access);

}  // namespace egalaxyd
