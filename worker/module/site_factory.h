// Builds the site maps from a configuration.
#pragma once

#include <memory>

#include "common/config/findings.h"
#include "worker/file/served_root.h"
#include "worker/route/router.h"

namespace egalaxyd {

/// Builds every site, aliases included, and opens its roots, as far as they are there. A site that
/// cannot be built is left out and becomes a complaint. Runs in the master, before the fork, and
/// under --check.
HostMap<std::shared_ptr<PathMap>> buildSites(const Config& config, ServedRoots& roots,
                                             Findings& findings);

}  // namespace egalaxyd
