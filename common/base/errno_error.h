// errno turned into an Error: the only table of what an errno means to us.
#pragma once

#include <string_view>

#include "common/base/result.h"

namespace egalaxyd {

/// `doing` names the attempt, e.g. "open /srv/capsule"; the message reads "open /srv/capsule: No
/// such file or directory".
Error errnoError(std::string_view doing, int errnoValue);

}  // namespace egalaxyd
