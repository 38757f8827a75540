#include "master/supervise/effective_config.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/base/ascii.h"
#include "common/config/config_check.h"
#include "common/wire/machine_name.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> hostsToServe(const CommandLine& line) {
  std::vector<std::string> hosts = line.hosts;
  if (hosts.empty()) hosts = {"localhost", machineName()};
  std::vector<std::string> different;
  for (std::string& host : hosts) {
    host = lowerCase(host);
    if (std::ranges::find(different, host) == different.end()) different.push_back(host);
  }
  return different;
}

/// One folder for every host, with the certificate that lies in the working directory if one does.
Config builtInConfig(const CommandLine& line) {
  const fs::path root = line.directory.value_or(line.workingDir);
  DirectoryArgs directory;
  directory.root = root;
  directory.listing = line.listing;
  std::vector<std::string> hosts = hostsToServe(line);
  SiteConfig site;
  site.host = hosts.front();
  site.aliases.assign(hosts.begin() + 1, hosts.end());
  site.where = "command line";
  site.mounts.push_back({"/", root.string(), std::move(directory)});

  Config config;
  config.sites.push_back(std::move(site));
  const fs::path certificate = line.workingDir / "server.crt";
  const fs::path key = line.workingDir / "server.key";
  std::error_code error;
  if (fs::exists(certificate, error) && fs::exists(key, error)) {
    config.tls.certificate = certificate;
    config.tls.key = key;
  }
  return config;
}

void applyCommandLine(Config& config, const CommandLine& line) {
  if (line.gemini) config.listen.gemini = *line.gemini;
  if (line.titan) config.listen.titan = *line.titan;
  if (line.spartan) config.listen.spartan = *line.spartan;
  if (line.workers) config.server.workers = *line.workers;
  if (line.stateDir) config.server.stateDir = *line.stateDir;
  if (line.runtimeDir) config.server.runtimeDir = *line.runtimeDir;
  if (line.user) config.server.user = *line.user;
  if (line.logLevel) config.log.level = *line.logLevel;
}

}  // namespace

LoadedConfig effectiveConfig(const CommandLine& line, const PathEnvironment& environment) {
  LoadedConfig loaded;
  if (line.configFile.empty()) {
    loaded.config = builtInConfig(line);
  } else {
    loaded = loadConfig(line.configFile);
  }
  Config& config = loaded.config;
  applyCommandLine(config, line);
  auto paths =
      serverPaths(environment, ::geteuid(), config.server.stateDir, config.server.runtimeDir);
  if (paths) {
    config.server.stateDir = paths->state;
    config.server.runtimeDir = paths->runtime;
  } else {
    loaded.complaints.push_back({"server.state_dir", paths.error().message});
  }
  // Of a file that could not be read nothing else is to be said.
  if (!loaded.complaints.empty() && config.lines.empty()) return loaded;
  addComplaints(loaded.complaints, checkConfig(config));
  return loaded;
}

}  // namespace egalaxyd
