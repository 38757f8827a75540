#include "master/control/statistics.h"

#include <algorithm>
#include <string>

#include "common/base/memory_use.h"
#include "common/wire/control_protocol.h"
#include "master/control/certificate_report.h"
#include "master/control/database_report.h"
#include "master/control/managed_master.h"
#include "master/control/upstream_report.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Array;
using Poco::JSON::Object;

/// KiB: an upper bound on what a worker claims.
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 40;

double inSeconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

Object describe(const Latencies& latencies) {
  Object object = jsonObject();
  object.set("count", latencies.count());
  object.set("sum", inSeconds(latencies.sum()));
  object.set("p50", inSeconds(latencies.quantile(0.5)));
  object.set("p90", inSeconds(latencies.quantile(0.9)));
  object.set("p99", inSeconds(latencies.quantile(0.99)));
  object.set("p999", inSeconds(latencies.quantile(0.999)));
  return object;
}

Object describeAnswers(const SharedState& shared, Protocol protocol) {
  Object answers = jsonObject();
  for (int status = 0; status < kStatusEnd; ++status) {
    const std::uint64_t count = shared.answers(protocol, status);
    if (count > 0) answers.set(std::to_string(status), count);
  }
  return answers;
}

Object describeLatencies(const SharedState& shared, Protocol protocol) {
  Object spans = jsonObject();
  for (std::size_t i = 0; i < kSpanNames.size(); ++i) {
    const Latencies latencies = shared.latencies(protocol, static_cast<Span>(i));
    if (latencies.count() > 0) spans.set(std::string(kSpanNames[i]), describe(latencies));
  }
  return spans;
}

/// {"connections":5,...}: what was counted since `before`.
Object describeTotals(const Totals& now, const Totals& before) {
  Object object = jsonObject();
  for (const auto& [counter, name] : kCounterNames) {
    const auto i = static_cast<std::size_t>(counter);
    // The worker writes this memory: a count may be less than before.
    object.set(std::string(name), now[i] - std::min(before[i], now[i]));
  }
  return object;
}

void describeAll(const SharedState& shared, Object& into) {
  Totals totals{};
  for (std::size_t i = 0; i < totals.size(); ++i) totals[i] = shared.total(static_cast<Counter>(i));
  into.set("open", shared.total(Gauge::kOpenConnections));
  Object gauges = jsonObject();
  gauges.set("program_requests", shared.total(Gauge::kProgramRequests));
  gauges.set("scripts_running", shared.total(Gauge::kScriptsRunning));
  gauges.set("scripts_queued", shared.total(Gauge::kScriptsQueued));
  into.set("gauges", gauges);
  into.set("totals", describeTotals(totals, {}));
  Object answers = jsonObject();
  Object latencies = jsonObject();
  for (const Protocol protocol : kProtocols) {
    const std::string name(nameOf(protocol));
    answers.set(name, describeAnswers(shared, protocol));
    latencies.set(name, describeLatencies(shared, protocol));
  }
  into.set("answers", answers);
  into.set("latencies", latencies);
}

Object describeWorker(const WorkerKey& key, const RunningWorker& worker, const WorkerSlot& slot) {
  Object object = jsonObject();
  object.set("slot", key.number);
  object.set("generation", key.generation);
  object.set("pid", static_cast<std::int64_t>(worker.pid));
  object.set("open", slot.value(Gauge::kOpenConnections));
  object.set("totals", describeTotals(totalsOf(slot), worker.before));
  // The worker measures itself: the master may not read its /proc/PID/smaps (PR_SET_DUMPABLE).
  const std::uint64_t memory = slot.memory.load(std::memory_order_relaxed);
  if (memory > 0) object.set("pss_kib", std::min(memory, kMostMemory));
  return object;
}

}  // namespace

Totals totalsOf(const WorkerSlot& slot) {
  Totals totals{};
  for (std::size_t i = 0; i < totals.size(); ++i) totals[i] = slot.value(static_cast<Counter>(i));
  return totals;
}

Object describeStatistics(const MasterView& master) {
  Object answer = controlSuccess();
  answer.set("uptime", master.started.age());
  answer.set("generation", master.serving);
  describeAll(master.shared, answer);
  Array workers;
  for (const auto& [view, process] : master.workers) {
    if (!process) continue;
    workers.add(describeWorker(view.key, *process, master.shared.slot(process->sharedSlot)));
  }
  answer.set("workers", workers);
  answer.set("upstreams", upstreamRows(master));
  Object storage = storageFigures(master);
  if (storage.size() > 0) {
    Latencies commits;
    commits.add(master.shared.database().commits);
    storage.set("commits", describe(commits));
    answer.set("storage", storage);
  }
  answer.set("certificate_ends", describeCertificateEnds(*master.current.plan));
  if (const auto memory = MemoryUse().kib()) answer.set("master_pss_kib", *memory);
  return answer;
}

}  // namespace egalaxyd
