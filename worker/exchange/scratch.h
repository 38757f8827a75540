// A buffer that all exchanges of a worker share.
#pragma once

#include <array>

#include "worker/site/body.h"

namespace egalaxyd {

/// Loop thread only, and only within one call, so that an exchange without bytes has no buffer.
inline std::array<char, kLargestChunk> scratch;

}  // namespace egalaxyd
