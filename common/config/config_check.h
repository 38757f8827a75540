// Rules that concern more than one key, or a value's meaning. Pure: looks at no file.
#pragma once

#include <cstdint>

#include "common/config/config.h"
#include "common/shared/shared_state.h"

namespace egalaxyd {

/// Two generations must find room in the shared memory at once.
inline constexpr std::uint32_t kMostWorkers = SharedState::kSlots / 2;
/// Scripts that may run at once.
inline constexpr std::uint32_t kMostProcesses = 4096;

/// Duplicate hosts and aliases, a certificate without its key, two listeners on one address, limits
/// that contradict each other, statuses and media types that do not exist, and so on.
Complaints checkConfig(const Config& config);

/// Appends to `all` what `more` has about places that `all` does not complain of yet: a value that
/// could not be read is not missing as well.
void addComplaints(Complaints& all, Complaints more);

}  // namespace egalaxyd
