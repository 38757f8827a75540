// The master's only interface to a worker: build a plan, fork, run.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/config/config.h"
#include "common/config/findings.h"
#include "common/shared/root_report.h"
#include "common/shared/shared_state.h"
#include "common/shared/worker_channel.h"
#include "common/shared/worker_id.h"
#include "common/system/privilege.h"
#include "common/tls/certificate.h"
#include "worker/connection/connection_limit.h"
#include "worker/plan/worker_setup.h"
#include "worker/upload/restore.h"

namespace egalaxyd {

struct ServingPlan;
struct ServingPlanDelete {
  void operator()(ServingPlan* plan) const;
};
using ServingPlanPtr = std::unique_ptr<ServingPlan, ServingPlanDelete>;

enum class PlanPurpose { kServe, kCheck };

/// Reads certificates, opens roots, builds the site map. With complaints the plan must not serve.
/// `config` has to outlive it. A certificate that cannot be read is taken from `kept`, if that has
/// it.
/// kCheck leaves no trace on disk. Single-threaded; master only.
ServingPlanPtr buildServingPlan(const Config& config, PlanPurpose purpose, Findings& findings,
                                const ServingPlan* kept = nullptr);

/// A file of the master that no configuration names, such as its pid file, belongs to what no site
/// serves or changes. Before any plan is built.
void keepFromSites(const std::string& name, const std::filesystem::path& file);

/// With the eyes of the calling process: which roots and files of `config` cannot be served, and
/// which uploads not written. Waits for the disk.
Complaints lookAtRoots(const Config& config);

/// A folder or file that is served by its path.
struct ServedPlace {
  std::filesystem::path path;
  Presence presence;  ///< when the plan was built, as the master saw it
};
/// In the order of RootReport::index.
std::vector<ServedPlace> servedPlaces(const ServingPlan& plan);

/// The certificates that the plan's contexts hold; the leaves live as long as the plan.
std::vector<ServedCertificate> servedCertificates(const ServingPlan& plan);
/// See TlsContexts::warnings().
Complaints certificateWarnings(const ServingPlan& plan, std::chrono::system_clock::time_point now);

/// Recovers the uploads of workers that have died (recoverUploads), and returns what it did in
/// words, or "". Runs in a process that was just forked for it, which it confines as a worker.
Result<std::string> recoverInChild(const Config& config, const std::optional<Account>& account,
                                   const DeadWorkers& dead);

/// restoreUpload() and uploadContent() (worker/upload/restore.h) in such a process.
Result<std::int64_t> restoreInChild(const Config& config, const std::optional<Account>& account,
                                    std::int64_t upload, std::int64_t worker);
Result<ContentPiece> contentInChild(const Config& config, const std::optional<Account>& account,
                                    std::int64_t upload, WhichContent which, std::uint64_t piece);

/// Exit codes of a worker, for the master's log.
inline constexpr int kWorkerExitDone = 0;
inline constexpr int kWorkerExitRefused = 10;  ///< could not get ready; the channel got the reason
inline constexpr int kWorkerExitLeak = 11;  ///< drained, but its final audit found something open

/// The whole life of a worker, in a process that was just forked: resets signals, opens its log,
/// drops privileges, enters the sandbox, sends kReady, serves until kDrain (or until the master is
/// gone), sends kClosed, finishes within the drain timeout, audits itself. Returns the exit code.
int runWorker(WorkerSetup setup);

}  // namespace egalaxyd
