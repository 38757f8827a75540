// egalaxyd.toml into a Config. The only reader of TOML.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "common/config/config.h"

namespace egalaxyd {

struct LoadedConfig {
  Config config;
  Complaints complaints;  ///< by line; empty: every key was known and well-formed
};

/// Reads `file` and what it includes; a file that cannot be read or parsed is a complaint too.
/// Relative paths become absolute against the folder of the file that they stand in. All complaints
/// are collected, with file, line and key; a misspelt key gets the nearest known one. Waits for the
/// disk; single-threaded.
LoadedConfig loadConfig(const std::filesystem::path& file);
/// The same from text; `file` names it in complaints and anchors relative paths.
LoadedConfig parseConfig(std::string_view toml, const std::filesystem::path& file);

/// "HOST:PORT", "[V6]:PORT", ":PORT"; shared with the command line.
std::optional<ListenAddress> parseListenAddress(std::string_view text);

/// By LogLevel.
inline constexpr std::array<std::string_view, 5> kLogLevels{"trace", "debug", "info", "warn",
                                                            "error"};
constexpr std::string_view nameOf(LogLevel level) {
  return kLogLevels[static_cast<std::size_t>(level)];
}
std::optional<LogLevel> parseLogLevel(std::string_view text);
/// A site's name in the form that SiteConfig::host has: lower-case, addresses without brackets.
std::optional<std::string> parseSiteHost(std::string_view text);

}  // namespace egalaxyd
