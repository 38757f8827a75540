// One configuration with everything that serving it needs; lives until its last worker has ended.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/config.h"
#include "common/config_loader.h"
#include "common/privilege.h"
#include "master/listener_set.h"
#include "worker/worker.h"

namespace egalaxyd {

struct Generation {
  std::uint64_t number = 1;
  Config config;
  std::uint32_t workers = 1;
  std::optional<Account> account;  ///< that its workers become
  ListenerSet listeners;
  ServingPlanPtr plan;
  std::string storageTrouble;  ///< why users and uploads are not available; "" when they are
};

/// Why the server cannot start, or not reload: what to print, and the exit code of sysexits.
struct Failure {
  int exitCode = 0;
  std::vector<std::string> messages;
};

/// `error` as a Failure: 69 where something is taken, 77 without permission, else `otherwise`.
Failure failureOf(const Error& error, int otherwise);
Failure failureOf(const Complaints& complaints);
/// Beside `loaded`'s complaints all that serving it would bring up: certificates, roots, plug-ins.
Complaints everyComplaint(LoadedConfig loaded);

/// Reads certificates, opens roots and sockets. `previous` is the listener set in use, if any.
std::variant<std::unique_ptr<Generation>, Failure> buildGeneration(
    std::uint64_t number, const Config& config, const std::vector<InheritedSocket>& inherited,
    const ListenerSet& previous);

/// "gemini://example.org:1966/" for each Gemini and Spartan socket and each host that is a whole
/// name and answered there.
std::vector<std::string> servedUrls(const Generation& generation);

}  // namespace egalaxyd
