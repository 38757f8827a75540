// What a worker is given when it is forked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "common/shared/worker_channel.h"
#include "common/system/privilege.h"
#include "worker/base/listener_kind.h"

namespace egalaxyd {

struct ServingPlan;

/// A listening, non-blocking socket that the master owns and every worker inherits.
struct ListenerSocket {
  int fd = -1;
  ListenerKind kind = ListenerKind::kGemini;
  std::uint16_t port = 0;  ///< the actual one
};

struct WorkerSetup {
  const ServingPlan* plan = nullptr;
  std::vector<ListenerSocket> listeners;  ///< closed when the worker drains
  SharedState* shared = nullptr;
  std::size_t sharedSlot = 0;      ///< this process's slot in `shared`
  std::int64_t id = 0;             ///< above 0; no other worker ever has the same
  std::uint32_t workerNumber = 0;  ///< for logs and pages; 0-based
  std::uint32_t workerCount = 1;   ///< workers of this generation, to share limits out
  std::uint64_t generation = 1;
  std::optional<Account> account;    ///< to switch to, if the master is root
  std::optional<LogLevel> logLevel;  ///< instead of the configuration's
  std::vector<int> logs;             ///< in the order of logPlaces(); the worker owns its copies
  bool databaseIsReady = false;      ///< the master has seen to the tables of the shared database
  std::string storageTrouble;        ///< the database's last error that the master knows of
  /// The worker's ends of its channels to the launchers, in the order of scriptAccounts(); one that
  /// is not there yet is empty. None where nothing needs a launcher.
  std::vector<UniqueFd> launchers;
  WorkerChannel channel;
};

}  // namespace egalaxyd
