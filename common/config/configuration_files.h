// Where a configuration comes from.
#pragma once

#include <cstddef>

namespace egalaxyd {

/// That of the machine's own server, which --system names.
inline constexpr const char* kSystemConfiguration = "/etc/egalaxyd/egalaxyd.toml";
/// In the folder that is served.
inline constexpr const char* kFolderConfiguration = "egalaxyd.toml";
/// A line in Config::lines: the command line sets this key.
inline constexpr std::size_t kOnCommandLine = 0;

}  // namespace egalaxyd
