// Where an open file is.
#pragma once

#include <optional>
#include <string>

namespace egalaxyd {

/// The path of an open descriptor, without links; nullopt without /proc. Of a file that has lost
/// its name, the last one. Never waits.
std::optional<std::string> realPathOf(int fd);

}  // namespace egalaxyd
