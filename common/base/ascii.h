// ASCII letters, whatever the locale.
#pragma once

#include <string>
#include <string_view>

namespace egalaxyd {

/// A to Z in small letters, every other byte as it is.
inline std::string lowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace egalaxyd
