// The answers to `limits` and `clear_limits`: which addresses are rate-limited.
#pragma once

#include <Poco/JSON/Object.h>

#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {

/// The address that has to wait longest comes first. "off" says why the table of rate limits is not
/// in use.
Poco::JSON::Object describeLimits(const SharedState& shared, const RateLimitConfig& config);
/// Lets one address, or all, ask again at once.
Poco::JSON::Object clearLimits(const ControlRequest& request, SharedState& shared,
                               const RateLimitConfig& config);

}  // namespace egalaxyd
