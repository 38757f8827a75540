#include "master/start/command_line.h"

#include <algorithm>

#include "common/base/units.h"
#include "common/config/config_loader.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

Error usage(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

fs::path absolute(const CommandLine& line, const std::string& path) {
  return (line.workingDir / path).lexically_normal();
}

Result<void> addAddress(std::optional<std::vector<ListenAddress>>& list, std::string_view name,
                        const std::string& value) {
  if (!list) list.emplace();
  if (value == "off") return {};
  const auto address = parseListenAddress(value);
  if (!address) {
    return usage("--" + std::string(name) + " " + value +
                 ": use HOST:PORT, [IPV6]:PORT, :PORT for every address, or off");
  }
  list->push_back(*address);
  return {};
}

Result<void> setWorkers(CommandLine& line, const std::string& value) {
  const auto count = parseNumber(value, 1, UINT32_MAX);
  if (!count && value != "auto") {
    return usage("--workers " + value + ": use a number from 1 on, or auto for one per CPU");
  }
  line.workers = static_cast<std::uint32_t>(count.value_or(0));
  return {};
}

Result<void> setLogLevel(CommandLine& line, const std::string& value) {
  line.logLevel = parseLogLevel(value);
  if (line.logLevel) return {};
  return usage("--log-level " + value + ": use trace, debug, info, warn or error");
}

}  // namespace

Result<void> applyOption(CommandLine& line, std::string_view name, const std::string& value) {
  if (name == "gemini") return addAddress(line.gemini, name, value);
  if (name == "titan") return addAddress(line.titan, name, value);
  if (name == "spartan") return addAddress(line.spartan, name, value);
  if (name == "workers") return setWorkers(line, value);
  if (name == "log-level") return setLogLevel(line, value);
  if (name == "config") line.configFile = absolute(line, value);
  if (name == "host") line.hosts.push_back(value);
  if (name == "state-dir") line.stateDir = absolute(line, value);
  if (name == "runtime-dir") line.runtimeDir = absolute(line, value);
  if (name == "user") line.user = value;
  if (name == "listing") line.listing = true;
  if (name == "check") line.check = true;
  if (name == "dump") line.dump = true;
  if (name == "version") line.version = true;
  if (name == "help") line.help = true;
  if (name == "daemon") line.daemon = true;
  if (name == "pidfile") line.pidFile = absolute(line, value);
  return {};
}

Result<void> applyArguments(CommandLine& line, const std::vector<std::string>& arguments) {
  if (arguments.size() > 1) {
    return usage("one folder can be served, not " + std::to_string(arguments.size()) +
                 "; several need a configuration file");
  }
  if (!arguments.empty()) line.directory = absolute(line, arguments.front());
  return {};
}

Result<void> chooseConfiguration(CommandLine& line) {
  if (line.directory && !line.configFile.empty()) {
    return usage("--config and a folder to serve exclude each other");
  }
  if (line.directory) return {};
  if (line.configFile.empty()) {
    std::error_code error;
    for (const fs::path& file :
         {line.workingDir / "egalaxyd.toml", fs::path("/etc/egalaxyd/egalaxyd.toml")}) {
      if (line.configFile.empty() && fs::exists(file, error)) line.configFile = file;
    }
  }
  if (!line.configFile.empty() && (line.listing || !line.hosts.empty())) {
    return usage("--host and --listing are for serving a folder, but " + line.configFile.string() +
                 " is in force: name the folder, or set this in the file");
  }
  return {};
}

}  // namespace egalaxyd
