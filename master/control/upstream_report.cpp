#include "master/control/upstream_report.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "common/config/dynamic_mounts.h"
#include "common/shared/upstream_counts.h"
#include "common/wire/control_protocol.h"
#include "master/control/managed_master.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;

/// What the workers say of one upstream. Any of them may lie: nothing of it is used but to be
/// shown.
struct Told {
  std::int64_t connections = 0;
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t answeredAt = 0;
  std::uint64_t failedAt = 0;
  UpstreamFault fault = UpstreamFault::kNone;
  std::uint64_t asideSince = 0;
};

void add(Told& told, const UpstreamCounts& counts) {
  constexpr auto kOrder = std::memory_order_relaxed;
  told.connections += std::clamp<std::int64_t>(counts.connections.load(kOrder), 0, kMostOfGauge);
  told.answered += counts.answered.load(kOrder);
  told.failed += counts.failed.load(kOrder);
  told.answeredAt = std::max(told.answeredAt, counts.answeredAt.load(kOrder));
  told.asideSince = std::max(told.asideSince, counts.asideSince.load(kOrder));
  const std::uint64_t failedAt = counts.failedAt.load(kOrder);
  const UpstreamFault fault = counts.fault.load(kOrder);
  if (failedAt < told.failedAt || fault >= UpstreamFault::kCount_) return;
  told.failedAt = failedAt;
  told.fault = fault;
}

Told toldOf(const MasterView& master, std::size_t number) {
  Told told;
  const SharedState& shared = master.shared;
  for (const auto& [view, process] : master.workers) {
    if (!process || view.key.generation != master.serving) continue;
    add(told, shared.slot(process->sharedSlot).upstreams[number]);
  }
  return told;
}

void describe(const Told& told, Object& row) {
  // A worker that gets no request does not hear that it is back; another one did.
  const bool aside = told.asideSince > told.answeredAt;
  row.set("state", std::string(aside ? "aside" : "up"));
  if (aside) row.set("since", told.asideSince / 1000);
  row.set("connections", told.connections);
  row.set("answered", told.answered);
  row.set("failed", told.failed);
  if (told.failedAt == 0) return;
  row.set("last_error", std::string(kUpstreamFaultNames[static_cast<std::size_t>(told.fault)]));
  row.set("last_error_time", told.failedAt / 1000);
}

}  // namespace

Poco::JSON::Array upstreamRows(const MasterView& master) {
  Poco::JSON::Array rows;
  for (const UpstreamMount& upstream : dynamicMounts(master.current.config).upstreams) {
    Object row = jsonObject();
    row.set("address", upstream.address);
    row.set("host", upstream.host);
    row.set("mount", upstream.path);
    if (upstream.number < kCountedUpstreams) describe(toldOf(master, upstream.number), row);
    rows.add(row);
  }
  return rows;
}

Object describeUpstreams(const MasterView& master) {
  Object answer = controlSuccess();
  answer.set("upstreams", upstreamRows(master));
  return answer;
}

}  // namespace egalaxyd
