// What this machine calls itself.
#pragma once

#include <string>

namespace egalaxyd {

/// In lower case; "localhost" where it has no name.
std::string machineName();

}  // namespace egalaxyd
