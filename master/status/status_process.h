// The process that answers for the status page: what it is given, and its life.
#pragma once

#include <optional>
#include <vector>

#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "common/shared/worker_channel.h"
#include "common/system/privilege.h"

namespace egalaxyd {

/// Between two questions for figures.
inline constexpr std::chrono::seconds kStatusInterval{2};

struct StatusSetup {
  std::vector<int> listeners;  ///< which listen already
  WorkerChannel channel;
  const SharedState* shared = nullptr;  ///< read only
  TokenDigest token;
  std::optional<Account> account;  ///< to become; none: stay
  SandboxMode sandbox = SandboxMode::kAuto;
};

/// In the forked process: closes all descriptors but those of `setup`, gives up what it does not
/// need, and serves until the master closes the channel. Asks for figures once at a time, at least
/// kStatusInterval after the last ones came. Returns the exit code; why it could not serve was told
/// to the master (kRefused).
int runStatusProcess(StatusSetup setup);

}  // namespace egalaxyd
