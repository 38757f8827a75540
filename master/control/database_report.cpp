#include "master/control/database_report.h"

#include <algorithm>
#include <string>

#include "common/base/path.h"
#include "common/cluster/database_engine.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;

constexpr auto kRelaxed = std::memory_order_relaxed;
/// Of one worker.
constexpr std::int64_t kThreads = 2;

bool isShared(const MasterView& master) {
  return master.current.config.storage.engine == StorageKind::kPostgresql;
}

std::uint64_t count(const DatabaseBoard& board, DatabaseEvent event) {
  return board.events[static_cast<std::size_t>(event)].load(kRelaxed);
}

/// Threads of the workers that are ready.
std::int64_t wantedLanes(const MasterView& master) {
  return kThreads * std::ranges::count_if(master.workers, [](const WorkerStatus& worker) {
           return worker.process && worker.view.state == WorkerState::kReady;
         });
}

std::string stateOf(const MasterView& master, std::int64_t lanes, std::int64_t wanted) {
  const DatabaseBoard& board = std::as_const(master.shared).database();
  if (board.regressed.load(kRelaxed) != 0) return "regressed";
  if (lanes == 0 && wanted > 0) return "away";
  return lanes < wanted || !master.storageTrouble.empty() ? "degraded" : "ok";
}

/// What the follower and the lanes have written to shared memory, of which nothing is believed.
void addBoard(const DatabaseBoard& board, Object& storage) {
  const std::string server = printable(board.server.get());
  if (!server.empty()) storage.set("primary", server);
  storage.set("timeline", board.timeline.load(kRelaxed));
  const std::string standby = printable(board.standby.get());
  if (!standby.empty()) storage.set("standby", standby);
  if (!server.empty()) storage.set("synchronous", board.waitsForStandby.load(kRelaxed) != 0);
  storage.set("content_lag", std::max<std::int64_t>(board.contentLag.load(kRelaxed), 0));
  const DatabaseGap gap = board.lastGap();
  if (gap.begun <= 0) return;
  Object object = jsonObject();
  object.set("time", gap.begun / 1000);
  object.set("seconds", std::chrono::duration<double>(gap.length).count());
  storage.set("last_gap", object);
}

}  // namespace

Object describeStorage(const MasterView& master) {
  Object storage = jsonObject();
  if (!isShared(master)) {
    storage.set("state", master.storageTrouble.empty() ? "ok" : "degraded");
    if (!master.storageTrouble.empty()) storage.set("error", master.storageTrouble);
    return storage;
  }
  const std::int64_t wanted = wantedLanes(master);
  const std::int64_t lanes = std::min(master.shared.total(Gauge::kStorageLanes), wanted);
  const std::string state = stateOf(master, lanes, wanted);
  storage.set("state", state);
  if (state != "ok" && !master.storageTrouble.empty()) storage.set("error", master.storageTrouble);
  storage.set("engine", "postgresql");
  storage.set("lanes", lanes);
  storage.set("lanes_wanted", wanted);
  storage.set("waiting", master.shared.total(Gauge::kStorageJobs));
  addBoard(std::as_const(master.shared).database(), storage);
  return storage;
}

Object storageFigures(const MasterView& master) {
  Object figures = jsonObject();
  if (!isShared(master)) return figures;
  const DatabaseBoard& board = std::as_const(master.shared).database();
  figures.set("up", master.shared.total(Gauge::kStorageLanes) > 0);
  figures.set("waiting_jobs", master.shared.total(Gauge::kStorageJobs));
  figures.set("reconnects", count(board, DatabaseEvent::kReconnected));
  Object uncertain = jsonObject();
  uncertain.set("committed", count(board, DatabaseEvent::kFoundCommitted));
  uncertain.set("repeated", count(board, DatabaseEvent::kRepeated));
  uncertain.set("unknown", count(board, DatabaseEvent::kUnknown));
  figures.set("uncertain_commits", uncertain);
  figures.set("regressions", count(board, DatabaseEvent::kRegressed));
  figures.set("content_lag", std::max<std::int64_t>(board.contentLag.load(kRelaxed), 0));
  figures.set("content_bytes", board.contentBytes.load(kRelaxed));
  return figures;
}

}  // namespace egalaxyd
