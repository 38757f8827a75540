// The one door from the master into a worker: build a plan, fork, run.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/certificate.h"
#include "common/config.h"
#include "common/privilege.h"
#include "common/shared_state.h"
#include "common/unique_fd.h"
#include "common/worker_channel.h"
#include "common/worker_id.h"
#include "worker/listener_kind.h"

namespace egalaxyd {

struct ServingPlan;
struct ServingPlanDelete {
  void operator()(ServingPlan* plan) const;
};
using ServingPlanPtr = std::unique_ptr<ServingPlan, ServingPlanDelete>;

enum class PlanPurpose { kServe, kCheck };

/// Reads certificates, opens roots, builds the site map. With complaints the plan must not serve.
/// kCheck leaves no trace on disk. Single-threaded; master only.
ServingPlanPtr buildServingPlan(const Config& config, PlanPurpose purpose, Complaints& complaints);

/// The certificates that the plan's contexts hold; the leaves live as long as the plan.
std::vector<ServedCertificate> servedCertificates(const ServingPlan& plan);

/// A listening, non-blocking socket that the master owns and every worker inherits.
struct ListenerSocket {
  int fd = -1;
  ListenerKind kind = ListenerKind::kGemini;
  std::uint16_t port = 0;  ///< the real one
};

struct WorkerSetup {
  const ServingPlan* plan = nullptr;
  std::vector<ListenerSocket> listeners;  ///< closed when the worker drains
  SharedState* shared = nullptr;
  std::size_t sharedSlot = 0;      ///< this process's slot in `shared`
  std::int64_t id = 0;             ///< no other worker ever has it, nor had; above 0
  std::uint32_t workerNumber = 0;  ///< for logs and pages; 0-based
  std::uint32_t workerCount = 1;   ///< workers of this generation, to share limits out
  std::uint64_t generation = 1;
  std::optional<Account> account;    ///< to become, when the master is root
  std::optional<LogLevel> logLevel;  ///< instead of the configuration's
  int log = -1;                      ///< what its log goes to; the worker owns its copy
  std::string storageTrouble;        ///< what ails the database as far as the master knows
  WorkerChannel channel;
};

/// Puts in order what workers that have died left of uploads, and returns what it did in
/// words, or "". In a process that was just forked for it: confines itself as a worker does.
Result<std::string> recoverInChild(const Config& config, const std::optional<Account>& account,
                                   const DeadWorkers& dead);

/// How many connections a worker accepts that may open so many files: an exchange may need a
/// descriptor for its page too, and the worker has some of its own.
std::uint64_t connectionsWithin(std::uint64_t openFiles);
/// The least limit with which it accepts so many.
std::uint64_t openFilesFor(std::uint64_t connections);

/// Exit codes of a worker, for the master's log.
inline constexpr int kWorkerExitDone = 0;
inline constexpr int kWorkerExitRefused = 10;  ///< could not get ready; said why on the channel
inline constexpr int kWorkerExitLeak = 11;     ///< drained, but its self-audit found something open

/// The whole life of a worker, in a process that was just forked: resets signals, opens its log,
/// drops privileges, enters the sandbox, says kReady, serves until kDrain (or until the master is
/// gone), says kClosed, finishes within the drain timeout, audits itself. Returns the exit code.
int runWorker(WorkerSetup setup);

}  // namespace egalaxyd
