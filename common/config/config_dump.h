// A Config as TOML that config_loader reads back to the same Config, unless it has secrets.
#pragma once

#include <string>

#include "common/config/config.h"

namespace egalaxyd {

/// Every key with its effective value, in the order of the manual. Digests of tokens and the
/// arguments of plug-ins, where passwords may be, are masked; loading complains of the masks.
std::string dumpConfig(const Config& config);

}  // namespace egalaxyd
