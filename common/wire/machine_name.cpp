#include "common/wire/machine_name.h"

#include <unistd.h>

#include <array>

#include "common/base/ascii.h"

namespace egalaxyd {

std::string machineName() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return lowerCase(name.data());
}

}  // namespace egalaxyd
