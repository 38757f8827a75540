// Memory that every exchange of a worker borrows.
#pragma once

#include <array>

#include "worker/site/body.h"

namespace egalaxyd {

/// Loop thread only, and only within one call: exchanges without bytes have no buffer.
inline std::array<char, kLargestChunk> scratch;

}  // namespace egalaxyd
