// The counters of the shared memory as JSON.
#pragma once

#include <Poco/JSON/Object.h>

#include <array>
#include <cstdint>

#include "common/shared/shared_state.h"

namespace egalaxyd {

/// By Counter.
using Totals = std::array<std::uint64_t, static_cast<std::size_t>(Counter::kCount_)>;

Totals totalsOf(const WorkerSlot& slot);

/// {"connections":5,...}: what was counted since `before`.
Poco::JSON::Object describeTotals(const Totals& now, const Totals& before);
/// Members "open", "totals", "answers" (by protocol and status; those that occurred) and
/// "latencies" (by protocol and span, in seconds; those with samples), of all workers together.
void describeShared(Poco::JSON::Object& into, const SharedState& shared);

}  // namespace egalaxyd
