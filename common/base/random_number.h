// A number that nobody else has.
#pragma once

#include <cstdint>

namespace egalaxyd {

/// From the kernel; never 0, and its highest bit is not set, so that it fits any integer.
std::uint64_t randomNumber();

}  // namespace egalaxyd
