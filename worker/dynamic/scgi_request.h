// The head of a request in SCGI. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "worker/dynamic/named_value.h"

namespace egalaxyd {

/// One netstring, behind which the body follows: CONTENT_LENGTH, SCGI, then `variables`, of which
/// those two are left out. No NUL is in them.
std::string scgiRequest(std::uint64_t bodySize, std::span<const NamedValue> variables);

}  // namespace egalaxyd
