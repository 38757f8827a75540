// What a look at a configuration, and at the files that it names, has found.
#pragma once

#include <string>

#include "common/config/config.h"

namespace egalaxyd {

struct Findings {
  Complaints complaints;  ///< with any of these the configuration must not serve
  Complaints warnings;  ///< it serves, yet somebody should look: told at --check, start and reload
};

/// Where the folder or file stands that the mount's module cannot do without; the mount itself for
/// modules that need none, and for what is from no file.
std::string whereOf(const Config& config, const MountConfig& mount);

}  // namespace egalaxyd
