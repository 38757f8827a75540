// The configuration of a server, and the database that it shares with others, for commands that
// work without the server.
#pragma once

#include <memory>

#include "common/cluster/database_engine.h"
#include "common/config/config.h"
#include "ctl/base/as_owner.h"
#include "ctl/base/command.h"

namespace egalaxyd::ctl {

/// The configuration that --config names, else the likely one. kInvalid when egalaxyd has
/// complaints, which are printed.
Result<Config> namedConfiguration(const Invocation& invocation);

/// The database that [storage] names. While it lives, root acts as the account of the server: the
/// database may know clients by their account, and files in the state folder are that account's.
struct SharedDatabase {
  const DatabaseEngine* engine = nullptr;
  DatabaseAccess access;
  std::unique_ptr<AsOwner> account;
};
/// Loads the engine, reads the password, asks name servers, makes the tables that are not there
/// yet, and the state folder. kInvalid where the storage is SQLite; kBusy: the database is away.
Result<SharedDatabase> openSharedDatabase(const Config& config);

}  // namespace egalaxyd::ctl
