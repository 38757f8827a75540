#include "master/control/process_parents.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

namespace egalaxyd {
namespace {

/// No operator's shell is that deep.
constexpr int kMostParents = 256;

/// 0: it has none. nullopt: there is no such process, or none that we may see.
std::optional<pid_t> parentOf(pid_t process) {
  const std::string name = "/proc/" + std::to_string(process) + "/stat";
  std::FILE* file = std::fopen(name.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::array<char, 512> line{};
  const bool read = std::fgets(line.data(), line.size(), file) != nullptr;
  std::fclose(file);
  // "PID (NAME) STATE PARENT": a name may hold anything.
  const char* behindName = read ? std::strrchr(line.data(), ')') : nullptr;
  pid_t parent = 0;
  if (behindName == nullptr || std::sscanf(behindName, ") %*c %d", &parent) != 1) {
    return std::nullopt;
  }
  return parent;
}

}  // namespace

bool mayDescendFrom(pid_t process, pid_t ancestor) {
  std::optional<pid_t> each = process;
  for (int i = 0; i < kMostParents; ++i) {
    if (!each || *each == ancestor) return true;
    if (*each <= 1) return false;
    each = parentOf(*each);
  }
  return true;
}

}  // namespace egalaxyd
