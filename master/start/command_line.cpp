#include "master/start/command_line.h"

#include <algorithm>
#include <iterator>

#include "common/base/path.h"
#include "common/base/units.h"
#include "common/config/config_loader.h"
#include "common/config/config_schema.h"
#include "common/config/configuration_files.h"

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

Result<void> addHost(CommandLine& line, const std::string& value) {
  const auto host = forms::host().read(value);
  if (!host) {
    return usage("--host " + value +
                 ": use a name such as example.org or *.example.org, or an IP address, without "
                 "scheme and port; ports are set with --port, --gemini and --spartan");
  }
  line.hosts.push_back(*host);
  return {};
}

/// The same as --gemini :PORT.
Result<void> addPort(CommandLine& line, const std::string& value) {
  const auto port = parseNumber(value, 0, UINT16_MAX);
  if (!port) return usage("--port " + value + ": use a number from 0 to 65535");
  if (!line.gemini) line.gemini.emplace();
  line.gemini->push_back({"", static_cast<std::uint16_t>(*port)});
  return {};
}

Result<void> setCgi(CommandLine& line, const std::string& value) {
  if (value.starts_with('/') || !mountPath("/" + value) || mountPath("/" + value) == "/") {
    return usage("--cgi " + value +
                 ": use a folder below the one that is served, named from there, such as cgi-bin");
  }
  line.cgi = value;
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

using Set = Result<void> (*)(CommandLine& line, const std::string& value);

/// Sets a member to a path, absolute.
template <auto kMember>
constexpr Set kPath = [](CommandLine& line, const std::string& value) -> Result<void> {
  line.*kMember = absolute(line, value);
  return {};
};
template <auto kMember, bool kValue = true>
constexpr Set kFlag = [](CommandLine& line, const std::string&) -> Result<void> {
  line.*kMember = kValue;
  return {};
};

constexpr ServerOption kOptions[] = {
    {"config", "c", "FILE", false, kPath<&CommandLine::configFile>,
     "configuration; default: egalaxyd.toml in the folder that is\n"
     "                           served, else the built-in one"},
    {"system", "", "", false, kFlag<&CommandLine::system>,
     "configuration: /etc/egalaxyd/egalaxyd.toml"},
    {"check", "t", "", false, kFlag<&CommandLine::check>,
     "check everything, print every complaint; exit with 0 or 78"},
    {"as", "", "USER", false,
     [](CommandLine& line, const std::string& value) -> Result<void> {
       line.as = value;
       return {};
     },
     "with --check: the account that serves, if it is not that of\n"
     "                           server.user"},
    {"dump", "", "", false, kFlag<&CommandLine::dump>, "print the effective configuration as TOML"},
    {"host", "", "NAME", true, &addHost,
     "a host name to serve DIR as, alone (repeatable); default: all,\n"
     "                           with a certificate for this machine's names"},
    {"listing", "", "", false, kFlag<&CommandLine::listing>,
     "list folders of DIR that have no index page (the default)"},
    {"no-listing", "", "", false, kFlag<&CommandLine::listing, false>, "list none"},
    {"cgi", "", "FOLDER", false, &setCgi,
     "run the executable files in this folder of DIR, such as cgi-bin,\n"
     "                           as scripts; default: nothing is run"},
    {"port", "p", "PORT", true, &addPort, "listen for Gemini and Titan on every address"},
    {"gemini", "", "ADDR", true,
     [](CommandLine& line, const std::string& value) {
       return addAddress(line.gemini, "gemini", value);
     },
     "HOST:PORT, [IPV6]:PORT, :PORT or off (repeatable): where to\n"
     "                           listen for Gemini and Titan"},
    {"titan", "", "ADDR", true,
     [](CommandLine& line, const std::string& value) {
       return addAddress(line.titan, "titan", value);
     },
     "likewise for Titan alone"},
    {"spartan", "", "ADDR", true,
     [](CommandLine& line, const std::string& value) {
       return addAddress(line.spartan, "spartan", value);
     },
     "likewise for Spartan"},
    {"workers", "", "N", false, &setWorkers, "number of worker processes; auto: one per CPU"},
    {"state-dir", "", "DIR", false, kPath<&CommandLine::stateDir>,
     "where certificates and other state live"},
    {"runtime-dir", "", "DIR", false, kPath<&CommandLine::runtimeDir>, "where run-time files live"},
    {"user", "", "NAME", false,
     [](CommandLine& line, const std::string& value) -> Result<void> {
       line.user = value;
       return {};
     },
     "account of the workers when started as root"},
    {"log-level", "", "LEVEL", false, &setLogLevel, "trace, debug, info, warn or error"},
    {"daemon", "", "", false, kFlag<&CommandLine::daemon>,
     "go to the background once all workers are ready"},
    {"pidfile", "", "FILE", false, kPath<&CommandLine::pidFile>,
     "write the master's process id to FILE"},
    {"restore", "", "FILE", false, kPath<&CommandLine::restore>,
     "put back what egalaxyctl backup saved, into an empty state folder,\n"
     "                           and the configuration beside the present one; then end"},
    {"force", "", "", false, kFlag<&CommandLine::force>,
     "with --restore: move what the state folder holds aside"},
    {"version", "", "", false, kFlag<&CommandLine::version>, "print the version"},
    {"help", "h", "", false, kFlag<&CommandLine::help>, "print this text"},
};

}  // namespace

std::span<const ServerOption> serverOptions() { return kOptions; }

Result<void> applyOption(CommandLine& line, std::string_view name, const std::string& value) {
  const auto* const option = std::ranges::find(kOptions, name, &ServerOption::name);
  return option == std::end(kOptions) ? Result<void>() : option->set(line, value);
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
  if (line.as && !line.check) return usage("--as is for --check");
  if (line.force && line.restore.empty()) return usage("--force is for --restore");
  if (line.system && !line.configFile.empty()) {
    return usage("--config and --system exclude each other");
  }
  if (line.system) line.configFile = kSystemConfiguration;
  if (line.directory && !line.configFile.empty()) {
    return usage(std::string(line.system ? "--system" : "--config") +
                 " and a folder to serve exclude each other");
  }
  if (line.configFile.empty()) {
    const fs::path file = line.directory.value_or(line.workingDir) / kFolderConfiguration;
    std::error_code error;
    // A link that leads nowhere is a mistake to tell, not a folder without configuration.
    if (fs::exists(fs::symlink_status(file, error))) line.configFile = file;
  }
  if (!line.configFile.empty() && (line.listing || !line.hosts.empty() || !line.cgi.empty())) {
    return usage(
        "--host, --cgi, --listing and --no-listing are for a folder without a configuration, but " +
        line.configFile.string() + " is in force: set this in the file, or move it away");
  }
  return {};
}

}  // namespace egalaxyd
