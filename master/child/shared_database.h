// The database that several hosts share, before it is used: what is wrong with [storage], and the
// processes that wait for it.
#pragma once

#include <optional>

#include "common/config/config.h"
#include "common/config/findings.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// Loads the engine that `config` asks for, and reads the password into it; complains of what
/// cannot work, warns of what goes slowly. Nothing with SQLite. Waits for the disk alone.
void readDatabaseSecrets(Config& config, Findings& found);

/// Puts addresses into the url, in place of names that a name server knows now; others stay, and a
/// later reload asks again. Waits for name servers.
void resolveDatabase(StorageConfig& storage);

/// Makes the tables, in a process of its own that becomes `owner`, as the database may know its
/// clients by their account. kBusy: it is away.
Result<void> prepareSharedDatabase(const Config& config, const std::optional<Account>& owner);

/// In a process that was just forked to ask the storage of `config`: becomes the workers' account,
/// and leaves itself nothing but SQLite's folder or the way to the shared database.
Result<void> confineToStorage(const Config& config, const std::optional<Account>& owner);

/// What an operator should know of a database that answers within three seconds, or that it does
/// not. For --check; waits that long.
Complaints tryDatabase(const Config& config);

}  // namespace egalaxyd
