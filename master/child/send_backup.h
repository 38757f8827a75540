// The running server's part of `egalaxyctl backup`.
#pragma once

#include <Poco/JSON/Object.h>

#include <optional>

#include "common/config/config.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// In a process that was forked for it. Reads the configuration and the certificates with the
/// master's rights, then confines itself to the database, and sends all of it to `client`, a
/// non-blocking socket, as control_protocol.h describes it; returns the answer that is to follow.
/// Gives up when the client takes nothing for a minute. Blocks.
Poco::JSON::Object sendBackup(int client, const Config& config,
                              const std::optional<Account>& account);

}  // namespace egalaxyd
