// What the environment of this process says.
#pragma once

#include <cstdlib>
#include <string>

namespace egalaxyd {

/// "" when it is not set.
inline std::string environmentVariable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace egalaxyd
