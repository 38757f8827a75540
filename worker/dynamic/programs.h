// What a worker needs to have scripts run and applications called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "worker/base/alarm.h"
#include "worker/base/rare_error.h"
#include "worker/dynamic/launcher_link.h"
#include "worker/dynamic/program_place.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// One per worker. Loop thread.
class Programs {
 public:
  /// `launchers`: the worker's ends of the channels, as WorkerSetup has them. `worker`: its id.
  Programs(EventLoop& loop, SharedState& shared, std::size_t slot, const Config& config,
           std::int64_t worker, std::vector<UniqueFd> launchers);

  /// A place for a request of `client`; the refusal (41, 44) where there is none.
  std::variant<ProgramPlace, Response> admit(const IpAddress& client);
  /// By its place among scriptAccounts().
  LauncherLink& launcher(std::size_t number) { return *links_.at(number); }
  /// A launcher has been started anew.
  void connect(std::size_t number, UniqueFd channel);

  WorkerSlot& counters() { return counters_; }
  /// By UpstreamMount::number; those behind kCountedUpstreams have one in common, which nobody
  /// reads.
  UpstreamCounts& upstream(std::uint32_t number) {
    return number < kCountedUpstreams ? counters_.upstreams[number] : uncounted_;
  }
  /// For whoever finds no place for a request: what the log is told of those.
  RareError& fullness() { return fullness_; }
  AddressMask addressMask() const { return addressMask_; }
  const std::filesystem::path& spoolFolder() const { return spool_; }
  /// That no other body has, and nobody can guess: the worker's id, a number, a random one.
  std::string newSpoolName();

  /// Scripts that have not ended, whoever waits for them.
  std::size_t running() const;
  /// Whoever still waits for a script or an application gives it up.
  void stopAll();
  bool isStopped() const { return stopped_; }
  /// For a task that waits, for as long as it does: its alarm rings at stopAll().
  class Waiting {
   public:
    Waiting(Programs& programs, Alarm& alarm)
        : all_(programs.waiting_), at_(all_->insert(all_->end(), &alarm)) {}
    ~Waiting() { all_->erase(at_); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    const std::shared_ptr<std::list<Alarm*>> all_;
    const std::list<Alarm*>::iterator at_;
  };
  /// Before the worker's loop ends: nothing is heard of launchers any more.
  void close();

 private:
  SharedState& shared_;
  const std::size_t slot_;
  WorkerSlot& counters_;
  UpstreamCounts uncounted_;
  const DynamicConfig limits_;
  const AddressMask addressMask_;
  const std::filesystem::path spool_;
  const std::int64_t worker_;
  std::uint64_t spooled_ = 0;
  std::vector<std::unique_ptr<LauncherLink>> links_;
  const std::shared_ptr<std::list<Alarm*>> waiting_ = std::make_shared<std::list<Alarm*>>();
  bool stopped_ = false;
  RareError fullness_;
  RareError greed_;  ///< of clients
};

}  // namespace egalaxyd
