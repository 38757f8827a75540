// A Config as TOML that config_loader reads back to the same Config.
#pragma once

#include <string>

#include "common/config.h"

namespace egalaxyd {

/// Every key with its effective value, in the order of the manual; secrets masked.
std::string dumpConfig(const Config& config);

}  // namespace egalaxyd
