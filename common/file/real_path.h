// Where an open file is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace egalaxyd {

/// The path of an open descriptor, without links; nullopt without /proc. Of a file that has lost
/// its name, the last one. Never waits.
std::optional<std::string> realPathOf(int fd);

/// The part of `path` below `root`, "." of the root itself; nullopt if it is not below. Both are
/// without links.
std::optional<std::string> pathBelow(std::string_view root, std::string_view path);

}  // namespace egalaxyd
