// What `stats` answers: the counters of the shared memory.
#pragma once

#include <Poco/JSON/Object.h>

#include <array>
#include <cstdint>

#include "common/shared/shared_state.h"

namespace egalaxyd {

/// By Counter.
using Totals = std::array<std::uint64_t, static_cast<std::size_t>(Counter::kCount_)>;

Totals totalsOf(const WorkerSlot& slot);

struct MasterView;
/// What all workers together counted: "totals", "answers" (by protocol and status; those that
/// occurred) and "latencies" (by protocol and span, in seconds; those with samples). And what each
/// running worker did, and describeCertificateEnds().
Poco::JSON::Object describeStatistics(const MasterView& master);

}  // namespace egalaxyd
