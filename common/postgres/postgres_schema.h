// The tables of a shared database, and how an empty one gets them.
#pragma once

#include <span>

#include "common/base/result.h"
#include "common/postgres/postgres_handle.h"

namespace egalaxyd::postgres {

/// The shape that this program reads and writes. What a higher version adds does not disturb it,
/// as long as the database's `oldest` is not above it: hosts are upgraded one by one.
inline constexpr int kDatabaseVersion = 1;

/// One script for each version, the first of which makes the tables.
using SchemaSteps = std::span<const char* const>;
SchemaSteps ownSteps();

/// kInvalid, with what to do: the tables are of an egalaxyd that is too new, or another role's.
Result<void> refuseNewerTables(Connection& db);
/// What a database must be for makeTables(): kInvalid with what to do. Changes nothing.
Result<void> checkDatabase(Connection& db);
/// Brings the tables to the last of the steps, as a whole or not at all, one host at a time. kBusy:
/// somebody holds a lock on them.
Result<void> makeTables(Connection& db, SchemaSteps steps = ownSteps());

}  // namespace egalaxyd::postgres
