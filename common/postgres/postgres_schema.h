// The tables of a shared database, and how an empty one gets them.
#pragma once

#include "common/base/result.h"
#include "common/postgres/postgres_handle.h"

namespace egalaxyd::postgres {

/// The shape that this program reads and writes. What a higher version adds does not disturb it,
/// as long as the database's `oldest` is not above it: hosts are upgraded one by one.
inline constexpr int kDatabaseVersion = 1;

/// kInvalid, with what to do: no tables, or those of a program that is too old or too new.
Result<void> checkVersion(Connection& db);
/// Whether the database is fit for our tables: kInvalid with what to do.
Result<void> checkDatabase(Connection& db);
/// Makes the tables where there are none, as a whole or not at all, one host at a time.
Result<void> makeTables(Connection& db);

}  // namespace egalaxyd::postgres
