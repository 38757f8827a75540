// A listening TCP socket on its way out: whoever is connected is accepted, nobody else gets in.
#pragma once

#include "common/result.h"

namespace egalaxyd {

/// From now on the kernel begins no further connection on `listener`, in whatever process it is
/// open, for good; those that are being made, or wait to be accepted, come through. Who tries
/// hears nothing, tries again after a second as TCP does, and is refused when all have closed it.
/// A plain close() would reset those who wait. Never for a socket that lives on elsewhere.
Result<void> refuseNewcomers(int listener);
bool refusesNewcomers(int listener);

}  // namespace egalaxyd
