// One configuration with everything that serving it needs; lives until its last worker has ended.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/config/config.h"
#include "common/config/config_loader.h"
#include "common/config/findings.h"
#include "common/system/privilege.h"
#include "master/start/url_trial.h"
#include "master/supervise/launcher_plans.h"
#include "master/supervise/listener_set.h"
#include "worker/worker.h"

namespace egalaxyd {

/// Stays where it is made: the plan refers to `config`.
struct Generation {
  std::uint64_t number = 1;
  Config config;
  std::uint32_t workers = 1;
  std::optional<Account> account;  ///< that its workers become
  std::vector<UniqueFd> logs;      ///< of its workers, in the order of logPlaces()
  ListenerSet listeners;
  std::vector<WantedLauncher> launchers;
  ServingPlanPtr plan;
  std::vector<ServedPlace> places;  ///< of the plan
  bool databaseIsReady = false;     ///< the tables of the shared database were seen to
  std::string storageTrouble;       ///< why users and uploads are not available; "" when they are
};

/// Why the server cannot start, or not reload: what to print, and the exit code of sysexits.
struct Failure {
  int exitCode = 0;
  std::vector<std::string> messages;
};

/// `error` as a Failure. What may pass by itself is 69 (an address or a folder that is taken or not
/// there) or 71 (no space, an I/O error): a service manager tries again. 77 without permission,
/// else `otherwise`.
Failure failureOf(const Error& error, int otherwise);
/// 69 where all of them may pass by themselves, else 78.
Failure failureOf(const Complaints& complaints);
/// `loaded`'s complaints, and what building its plan finds: certificates, roots, plug-ins.
Findings everyFinding(LoadedConfig loaded);
/// A log line for each, or for the first of many and their number. To the terminal under --check.
void logWarnings(const Complaints& warnings);

/// All but the sockets: reads certificates and makes missing ones, opens roots, loads plug-ins,
/// opens the workers' logs. Blocking. With complaints it must not serve; warnings are logged, with
/// `looks` those too that the workers' account finds (lookAs). `kept` as in buildServingPlan().
std::unique_ptr<Generation> prepareGeneration(const Config& config, Complaints& complaints,
                                              bool looks = true, const ServingPlan* kept = nullptr);
/// Makes the database ready: prepareDatabase(), and where scripts run, the spool folder. The server
/// starts without them, too: a failure is logged, that of the database also noted in `generation`,
/// and requests that need them are answered with an error.
void prepareStorage(Generation& generation);

/// prepareGeneration(), and the sockets. `previous` is the listener set in use, if any. `names` as
/// in ListenerSet::open(); where there are some, a rehearsal has looked at the roots.
std::variant<std::unique_ptr<Generation>, Failure> buildGeneration(
    std::uint64_t number, const Config& config, const std::vector<InheritedSocket>& inherited,
    const ListenerSet& previous, const ResolvedNames* names, const ServingPlan* kept = nullptr);

/// "gemini://example.org:1966/" for each Gemini and Spartan socket and each host that is a whole
/// name and answered there; where any host is answered, for the address that was configured, too.
std::vector<ServedUrl> servedUrls(const Generation& generation);

}  // namespace egalaxyd
