// What the command line asked for, as values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"

namespace egalaxyd {

struct CommandLine {
  std::filesystem::path workingDir;  ///< at the start; relative paths are relative to it
  std::filesystem::path configFile;  ///< empty: none was named
  bool system = false;               ///< kSystemConfiguration is to be read
  std::optional<std::filesystem::path> directory;
  std::vector<std::string> hosts;
  std::optional<std::vector<ListenAddress>> gemini;
  std::optional<std::vector<ListenAddress>> titan;
  std::optional<std::vector<ListenAddress>> spartan;
  std::optional<std::uint32_t> workers;  ///< 0: one per CPU
  std::optional<std::filesystem::path> stateDir;
  std::optional<std::filesystem::path> runtimeDir;
  std::optional<std::string> user;
  std::optional<LogLevel> logLevel;
  std::optional<bool> listing;
  /// Of scripts, below the folder that is served, as it was named: "cgi-bin"; "": none is.
  std::string cgi;

  bool check = false;
  std::optional<std::string> as;  ///< with `check`: the account whose eyes look
  bool dump = false;
  bool version = false;
  bool help = false;
  bool daemon = false;
  std::filesystem::path pidFile;  ///< empty: none
  std::filesystem::path restore;  ///< a backup; empty: none is to be restored
  bool force = false;             ///< with `restore`
};

/// One option of the command line, and what it sets.
struct ServerOption {
  const char* name;       ///< long, without its dashes
  const char* shortName;  ///< one letter, or ""
  const char* argument;   ///< "" when it takes none
  bool repeatable;
  /// Fails when the value makes no sense; the message says what is allowed.
  Result<void> (*set)(CommandLine& line, const std::string& value);
  const char* help;
};

/// In the order in which the help lists them.
std::span<const ServerOption> serverOptions();
/// One option by its long name; `value` is "" where it takes none.
Result<void> applyOption(CommandLine& line, std::string_view name, const std::string& value);
/// What is not an option: at most one DIR.
Result<void> applyArguments(CommandLine& line, const std::vector<std::string>& arguments);

/// Finds the configuration file that is in force and sets configFile: the named one, the system's,
/// or the egalaxyd.toml of the folder that is served, if there is one. Fails when options exclude
/// each other.
Result<void> chooseConfiguration(CommandLine& line);

}  // namespace egalaxyd
