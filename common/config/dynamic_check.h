// Rules for scripts, applications and proxied capsules beyond the form of single values; those for
// who may send them something are in config_check. Pure: what the machine has to say is found by
// master/supervise/program_look.
#pragma once

#include "common/config/config.h"

namespace egalaxyd {

Complaints checkDynamic(const Config& config);

}  // namespace egalaxyd
