// What a look at a configuration, and at the files that it names, has found.
#pragma once

#include "common/config/config.h"

namespace egalaxyd {

struct Findings {
  Complaints complaints;  ///< with any of these the configuration must not serve
  Complaints warnings;  ///< it serves, yet somebody should look: told at --check, start and reload
};

}  // namespace egalaxyd
