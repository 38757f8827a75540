// What a worker may ask of a launcher: it may have been taken over. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/shared/launcher_plan.h"
#include "common/shared/launcher_protocol.h"

namespace egalaxyd {

/// nullptr: there is none.
const ScriptMount* mountOf(const LauncherPlan& plan, std::uint32_t number);
const UpstreamPlace* upstreamOf(const LauncherPlan& plan, std::uint32_t number);

/// What no worker of ours asks, in words for the log; "": nothing. `mount` is mountOf() it.
std::string lieOf(const RunScript& ask, const ScriptMount* mount);
/// Likewise; `upstream` is upstreamOf() it.
std::string lieOf(const DialUpstream& ask, const UpstreamPlace* upstream);

}  // namespace egalaxyd
