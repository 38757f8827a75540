// The files of a configuration into one table: the first, and those that it includes.
#pragma once

#include <toml++/toml.h>

#include <cstddef>
#include <optional>
#include <string_view>

#include "common/config/config_reading.h"

namespace egalaxyd {

/// A hundred times what ten thousand sites take; of all files together.
inline constexpr std::size_t kMaxConfigBytes = 256 << 20;

/// `text`: of the first file, which `reading` knows. Complains of what is no TOML and reads on with
/// what was meant, as far as that can be told; nullopt: that cannot be told of the first file.
/// Waits for the disk.
std::optional<toml::table> readSources(std::string_view text, Reading& reading);

}  // namespace egalaxyd
