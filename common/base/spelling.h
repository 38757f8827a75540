// What a misspelt name was meant to be. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`; bytes, with
/// case.
std::size_t editDistance(std::string_view a, std::string_view b);

/// Those of `known` that `word` is a likely misspelling of, or the beginning of, best first;
/// compared without case. Empty when none is near.
std::vector<std::string> nearNames(std::string_view word, const std::vector<std::string>& known);

}  // namespace egalaxyd
