// Site maps out of a configuration.
#pragma once

#include <memory>

#include "common/config/config.h"
#include "worker/file/served_root.h"
#include "worker/route/router.h"

namespace egalaxyd {

/// Builds every site, aliases included, opening roots and files as it goes; what cannot be built is
/// a complaint and left out. Runs in the master, before the fork, and under --check.
HostMap<std::shared_ptr<PathMap>> buildSites(const Config& config, ServedRoots& roots,
                                             Complaints& complaints);

}  // namespace egalaxyd
