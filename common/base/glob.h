// Patterns for the paths of files. Pure.
#pragma once

#include <string_view>

namespace egalaxyd {

/// Whether all of `path` ("notes/2024/a.txt", no leading slash) fits `pattern`: '*' stands for any
/// part of a name, '?' for one character, "[a-z]" for one of these and "[!a-z]" for one of the
/// others; a segment "**" for any number of folders, none included. Letter case matters. Takes no
/// memory, and time by the product of the lengths at most, whatever the pattern.
bool fitsGlob(std::string_view pattern, std::string_view path);

/// Whether `pattern` says more than one name: it holds '*', '?' or '['.
bool isGlob(std::string_view pattern);

}  // namespace egalaxyd
