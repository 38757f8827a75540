// The statuses that Gemini 0.24.1 defines, which a site may answer with.
#pragma once

#include <array>

namespace egalaxyd {

inline constexpr std::array kStatuses{10, 11, 20, 30, 31, 40, 41, 42, 43,
                                      44, 50, 51, 52, 53, 59, 60, 61, 62};

}  // namespace egalaxyd
