#include "master/supervise/effective_config.h"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/path.h"
#include "common/config/config_check.h"
#include "common/config/configuration_files.h"
#include "common/wire/machine_name.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSpartanKey = "listen.spartan";

/// The names that were asked for; without any, every name, and those that the certificate carries.
std::vector<std::string> hostsToServe(const CommandLine& line) {
  std::vector<std::string> hosts = line.hosts;
  if (hosts.empty()) hosts = {"localhost", machineName(), "*"};
  std::vector<std::string> different;
  for (const std::string& host : hosts) {
    if (std::ranges::find(different, host) == different.end()) different.push_back(host);
  }
  return different;
}

struct FoundPair {
  fs::path certificate;
  fs::path key;
  bool hasCertificate;
  bool hasKey;
};

FoundPair certificateIn(const fs::path& folder) {
  FoundPair found{folder / "server.crt", folder / "server.key", false, false};
  std::error_code error;
  found.hasCertificate = fs::exists(found.certificate, error);
  found.hasKey = fs::exists(found.key, error);
  return found;
}

/// One folder for every host, with the certificate that lies in the working directory if one does.
Config builtInConfig(const CommandLine& line) {
  const fs::path root = line.directory.value_or(line.workingDir);
  DirectoryArgs directory;
  directory.root = root;
  if (line.listing.value_or(true)) directory.listing.emplace();
  std::vector<std::string> hosts = hostsToServe(line);
  SiteConfig site;
  site.host = hosts.front();
  site.aliases.assign(hosts.begin() + 1, hosts.end());
  site.where = "command line";
  site.mounts.push_back({"/", root.string(), std::move(directory)});
  if (!line.cgi.empty()) {
    CgiArgs scripts;
    scripts.root = (root / line.cgi).lexically_normal();
    const std::string where = scripts.root.string();
    site.mounts.push_back({mountPath("/" + line.cgi).value_or("/"), where, std::move(scripts)});
  }

  Config config;
  config.sites.push_back(std::move(site));
  const FoundPair found = certificateIn(line.workingDir);
  if (found.hasCertificate && found.hasKey) {
    config.tls.certificate = found.certificate;
    config.tls.key = found.key;
  }
  return config;
}

void applyCommandLine(Config& config, const CommandLine& line) {
  if (line.gemini) config.listen.gemini = *line.gemini;
  if (line.titan) config.listen.titan = *line.titan;
  if (line.spartan) config.listen.spartan = *line.spartan;
  if (line.spartan) config.lines[kSpartanKey] = {0, kOnCommandLine};
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

bool wantsSpartan(const Config& config) { return config.lines.contains(kSpartanKey); }

std::string whyUnreadable(const CommandLine& line) {
  const fs::path folder = line.directory.value_or(line.workingDir);
  if (!line.configFile.empty() ||
      ::faccessat(AT_FDCWD, folder.c_str(), R_OK | X_OK, AT_EACCESS) == 0 || errno != EACCES) {
    return "";
  }
  const passwd* own = ::getpwuid(::geteuid());
  std::string account = "uid " + std::to_string(::geteuid());
  if (own != nullptr) account = std::string(own->pw_name) + " (" + account + ")";
  return folder.string() + " cannot be read by " + account +
         ", the account of this server: let it (chmod -R a+rX), or start the server as the "
         "folder's owner";
}

std::vector<std::string> startNotes(const CommandLine& line) {
  if (!line.configFile.empty()) return {};
  std::vector<std::string> notes;
  if (std::string shut = whyUnreadable(line); !shut.empty()) notes.push_back(std::move(shut));
  const FoundPair found = certificateIn(line.workingDir);
  if (found.hasCertificate && found.hasKey) {
    notes.push_back("the certificate is " + found.certificate.string() +
                    ", with server.key beside it");
  } else if (found.hasCertificate || found.hasKey) {
    const auto& [alone, missing] = found.hasKey ? std::pair(found.key, "server.crt")
                                                : std::pair(found.certificate, "server.key");
    notes.push_back(alone.string() + " is not used: there is no " + missing + " beside it");
  }
  std::error_code error;
  if (fs::exists(kSystemConfiguration, error)) {
    notes.push_back(std::string(kSystemConfiguration) +
                    " is not used: --system serves what it says");
  }
  return notes;
}

}  // namespace egalaxyd
