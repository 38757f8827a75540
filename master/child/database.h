// The database's folder, which is the workers', and the processes that open what is in it.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// Makes <state>/db and gives it to `owner`, the workers' account, if there is one. Moves into it
/// what servers before this layout kept in the state folder itself; a move that was interrupted
/// goes on at the next call. No link is followed: kInvalid where db/ is no folder, kPermission
/// where a file to be moved or given away is not a regular one with one name, of the master's or
/// the workers' account. Master, whose state folder it is; blocks.
Result<void> prepareDatabaseFolder(const std::filesystem::path& stateDir,
                                   const std::optional<Account>& owner);

/// prepareDatabaseFolder(), then migrateStorage() in a process of its own that is confined to the
/// folder: SQLite replays any journal that it finds there, whichever process wrote it.
Result<void> prepareDatabase(const ServerConfig& server, const std::optional<Account>& owner);

/// What `prepare` gives, in a process of its own.
Result<void> prepareApart(const std::function<Result<void>()>& prepare);

/// In a process that was just forked to open the database: becomes the workers' account, and leaves
/// itself nothing but the folder.
Result<void> confineToDatabase(const ServerConfig& server, const std::optional<Account>& owner);

}  // namespace egalaxyd
