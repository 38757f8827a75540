#include "common/config/dynamic_check.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/units.h"
#include "common/config/config_loader.h"
#include "common/config/config_schema.h"
#include "common/config/dynamic_mounts.h"
#include "common/config/findings.h"
#include "common/shared/home_places.h"
#include "common/shared/script_names.h"

namespace egalaxyd {
namespace {

constexpr std::string_view kUnixSocket = "unix:";

bool isVariableName(std::string_view name) {
  const auto isLetter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto isLegal = [&](char c) { return isLetter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && isLetter(name.front()) && std::ranges::all_of(name, isLegal);
}

bool isFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

/// "" or why the operator may not give a variable of this name.
std::string variableFault(std::string_view name) {
  if (!isVariableName(name)) {
    return "is no name of a variable; allowed: letters, digits and \"_\", no digit in front";
  }
  if (scriptVariable(name) || name.starts_with("TLS_CLIENT_")) {
    return "is a variable that the server sets for each request; allowed: other names";
  }
  if (std::ranges::find(kAccountVariables, name) != kAccountVariables.end()) {
    return "is a variable that the server sets for the script's account; allowed: other names";
  }
  if (name.starts_with("LD_") || name.starts_with("GLIBC_")) {
    return "makes the loader run other code; allowed: names without LD_ and GLIBC_ in front";
  }
  return {};
}

/// Whether whoever connects to `to` reaches what listens at `own`, as far as that can be told
/// without asking for names.
bool reaches(const ListenAddress& to, const ListenAddress& own) {
  if (own.port == 0 || to.port != own.port) return false;
  if (to.host == own.host) return true;
  const auto address = IpAddress::parse(own.host);
  const bool isEverywhere = own.host.empty() || address == IpAddress::parse("0.0.0.0") ||
                            address == IpAddress::parse("::");
  return isLoopbackHost(to.host) && (isEverywhere || isLoopbackHost(own.host));
}

class DynamicChecker {
 public:
  explicit DynamicChecker(const Config& config) : config_(config) {}

  Complaints run() {
    shared();
    for (const SiteConfig& site : config_.sites) checkAll(site.mounts);
    return std::move(complaints_);
  }

 private:
  void about(const MountConfig& mount, std::string_view key, std::string_view text) {
    complainOf(config_, complaints_, {mount.dottedKey, mount.where}, key, text);
  }

  void shared() {
    const DynamicConfig& dynamic = config_.dynamic;
    const auto positive = [this](const std::string& key, bool isZero, std::string_view found) {
      if (!isZero) return;
      complaints_.push_back(
          {config_.where(key), fmt::format("found {}; allowed: more than 0", found)});
    };
    positive("dynamic.requests", dynamic.requests == 0, "0");
    positive("dynamic.requests_per_ip", dynamic.requestsPerIp == 0, "0");
    positive("dynamic.queue_timeout", dynamic.queueTimeout.count() <= 0, "\"0s\"");
  }

  void checkAll(const std::vector<MountConfig>& mounts) {
    for (const MountConfig& mount : mounts) {
      if (const auto* cgi = std::get_if<CgiArgs>(&mount.args)) check(mount, *cgi);
      if (const auto* scgi = std::get_if<ScgiArgs>(&mount.args)) check(mount, *scgi);
      if (const auto* fastcgi = std::get_if<FastcgiArgs>(&mount.args)) check(mount, *fastcgi);
      if (const auto* proxy = std::get_if<ProxyArgs>(&mount.args)) check(mount, *proxy);
      if (const auto* homes = std::get_if<HomesArgs>(&mount.args)) check(mount, *homes);
      if (const auto* nested = nestedMounts(mount.args)) checkAll(*nested);
    }
  }

  void check(const MountConfig& mount, const CgiArgs& args) {
    program(mount, args.program);
    for (const std::string& name : args.pass) {
      if (const auto fault = variableFault(name); !fault.empty()) {
        about(mount, "pass", fmt::format("found \"{}\", which {}", name, fault));
      }
    }
    scripts(mount, args);
    if (args.cpuTime && *args.cpuTime < std::chrono::seconds(1)) {
      about(mount, "cpu_time",
            fmt::format(R"(found "{}"; allowed: "1s" or more, or "off")",
                        durationText(*args.cpuTime)));
    }
    processes(mount, args.processes);
    if (!args.upload) return;
    const auto isBad = [](char c) { return c == '/' || static_cast<unsigned char>(c) < 0x20; };
    if (std::ranges::any_of(args.upload->nameSuffix, isBad)) {
      about(mount, "upload.name_suffix", R"(allowed: the end of a file's name, such as ",titan")");
    }
  }

  void scripts(const MountConfig& mount, const CgiArgs& args) {
    const bool isFaulty = config_.faulty.contains(mount.dottedKey + ".root") ||
                          config_.faulty.contains(mount.dottedKey + ".script");
    if (isFaulty) return;
    if (args.root.empty() && args.script.empty()) {
      about(mount, "root",
            "is missing or empty; allowed: a folder of scripts, or script, one program for all");
    } else if (!args.root.empty() && !args.script.empty()) {
      about(mount, "script",
            "stands beside root; allowed: one of them, a folder of scripts or one program for all");
    } else if (args.script.empty() && !args.args.empty()) {
      about(mount, "args", "are those of script, which is not set");
    }
    index(mount, args.index);
  }

  void index(const MountConfig& mount, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (isFileName(name)) continue;
      about(mount, "index", fmt::format("found \"{}\"; allowed: names of files", name));
    }
  }

  void processes(const MountConfig& mount, std::uint32_t found) {
    const std::uint32_t most = scriptProcesses(config_.dynamic);
    if (found <= most) return;
    about(mount, "processes",
          fmt::format("found {}; allowed: at most the {} that dynamic.processes lets run{}", found,
                      most, config_.dynamic.processes == 0 ? " on this machine" : ""));
  }

  void check(const MountConfig& mount, const HomesArgs& args) {
    if (!mount.path.ends_with("/~")) {
      complaints_.push_back(
          {mount.where, R"(has the module "homes"; allowed: at a path that ends in "/~", which )"
                        R"(stands for "/~NAME" of each user)"});
    }
    homesRoot(mount, args.root.string());
    if (args.minUid == 0) about(mount, "min_uid", "found 0, which is root; allowed: 1 or more");
    index(mount, args.index);
    users(mount, args);
    processes(mount, args.processes);
    program(mount, args.program);
    homesSocket(mount, args);
    if (args.cgi.empty() || isFileName(args.cgi)) return;
    about(mount, "cgi", fmt::format("found \"{}\"; allowed: a name such as \"cgi-bin\"", args.cgi));
  }

  void homesSocket(const MountConfig& mount, const HomesArgs& args) {
    const std::string& socket = args.socket;
    if (socket.empty()) return;
    const bool isInHome = socket.starts_with(std::string(kHomePlace) + "/");
    const std::size_t user = socket.find(kUserPlace);
    const bool isOfUser = socket.starts_with('/') && user != std::string::npos &&
                          socket.find(kUserPlace, user + 1) == std::string::npos;
    if (!isInHome && !isOfUser) {
      about(
          mount, "socket",
          fmt::format(R"(found "{}"; allowed: "%home%/.gemini.sock" or such, or an absolute path )"
                      R"(with %user% in it, once)",
                      socket));
    }
    if (args.cgi == kHomeApplication) {
      about(mount, "cgi",
            R"(found "app", where each user's socket answers; allowed: another name)");
    }
  }

  void homesRoot(const MountConfig& mount, std::string_view root) {
    const std::size_t first = root.find(kUserPlace);
    if (root.empty()) {
      about(mount, "root", R"(is missing or empty; allowed: "/home/%user%/public_gemini" or such)");
    } else if (first == std::string_view::npos || root.find(kUserPlace, first + 1) != root.npos) {
      about(mount, "root",
            fmt::format("found \"{}\"; allowed: a path with %user% in it, once", root));
    }
  }

  void users(const MountConfig& mount, const HomesArgs& args) {
    if (args.users.empty()) about(mount, "users", R"(found none; allowed: names, or "*")");
    for (const std::string& name : args.users) {
      if (name == kAnyUser || isUserName(name)) continue;
      about(mount, "users",
            fmt::format("found \"{}\"; allowed: \"*\", or names of up to 32 characters: a-z, 0-9, "
                        "\"_\" and \"-\", neither a digit nor \"-\" in front",
                        name));
    }
    if (args.cgi.empty() || !args.asUser || !isListed(args.users, kAnyUser)) return;
    about(mount, "users",
          R"(found "*", but scripts run as their users, each by a launcher of its own; allowed: )"
          R"(their names, or as = "server")");
  }

  void program(const MountConfig& mount, const ProgramArgs& args) {
    for (const auto& [name, value] : args.env) {
      const std::string key = "env." + tomlKey(name);
      const auto fault = variableFault(name);
      if (!fault.empty()) about(mount, key, fault);
      if (value.find('\0') != std::string::npos) {
        about(mount, key, "found a zero byte; allowed: text without");
      }
    }
    times(mount, args.times);
  }

  void times(const MountConfig& mount, const ProgramTimes& times) {
    const std::array<std::pair<std::string_view, OptionalDuration>, 3> all{
        {{"header_timeout", times.header}, {"idle_timeout", times.idle}, {"timeout", times.whole}}};
    bool isZero = false;
    for (const auto& [key, time] : all) {
      if (!time || time->count() > 0) continue;
      isZero = true;
      about(mount, key,
            fmt::format("found \"0s\"; allowed: more than 0{}",
                        key == "header_timeout" ? "" : ", or \"off\""));
    }
    if (isZero || !times.whole || times.header <= *times.whole) return;
    const bool isSet = config_.lines.contains(mount.dottedKey + ".header_timeout");
    about(mount, isSet ? "header_timeout" : "timeout",
          fmt::format("a header may take \"{}\", and the whole no more than \"{}\"; allowed: a "
                      "header_timeout that is not longer than timeout",
                      durationText(times.header), durationText(*times.whole)));
  }

  void check(const MountConfig& mount, const ScgiArgs& args) {
    upstreams(mount, args.upstream);
    program(mount, args.program);
  }

  void check(const MountConfig& mount, const FastcgiArgs& args) {
    upstreams(mount, args.upstream);
    program(mount, args.program);
    scriptFilename(mount, args);
  }

  void scriptFilename(const MountConfig& mount, const FastcgiArgs& args) {
    std::string_view rest = args.scriptFilename;
    for (std::size_t at = rest.find('%'); at != std::string_view::npos; at = rest.find('%')) {
      rest.remove_prefix(at);
      const std::size_t end = rest.find('%', 1);
      const std::string_view name =
          rest.substr(0, end == std::string_view::npos ? rest.size() : end + 1);
      if (name != "%root%" && name != "%path%") {
        return about(mount, "script_filename",
                     fmt::format("found \"{}\"; allowed: %root% and %path%", name));
      }
      if (name == "%root%" && args.root.empty()) {
        return about(mount, "script_filename", "found \"%root%\", but root is not set");
      }
      rest.remove_prefix(name.size());
    }
  }

  void upstreams(const MountConfig& mount, const UpstreamArgs& args) {
    if (args.to.empty()) about(mount, "to", "is missing or empty; allowed: one address or several");
    for (auto to = args.to.begin(); to != args.to.end(); ++to) {
      if (std::find(args.to.begin(), to, *to) == to) continue;
      about(mount, "to", fmt::format("found \"{}\" twice", *to));
    }
    for (const std::string& to : args.to) {
      if (const std::string own = ownListener(to); !own.empty()) {
        about(mount, "to",
              fmt::format("found \"{}\", where this server listens itself: {}", to, own));
      }
    }
    if (args.connections == 0) about(mount, "connections", "found 0; allowed: more than 0");
    for (const auto& [key, time] : {std::pair("connect_timeout", args.connectTimeout),
                                    std::pair("retry_after", args.retryAfter)}) {
      if (time.count() <= 0) about(mount, key, "found \"0s\"; allowed: more than 0");
    }
  }

  /// "listen.gemini", or "".
  std::string ownListener(const std::string& to) const {
    const auto address = to.starts_with(kUnixSocket) ? std::nullopt : parseListenAddress(to);
    if (!address) return {};
    for (const auto& [key, own] : {std::pair("listen.gemini", &config_.listen.gemini),
                                   std::pair("listen.titan", &config_.listen.titan),
                                   std::pair("listen.spartan", &config_.listen.spartan),
                                   std::pair("status.listen", &config_.status.listen)}) {
      for (const ListenAddress& each : *own) {
        if (reaches(*address, each)) return key;
      }
    }
    return {};
  }

  void check(const MountConfig& mount, const ProxyArgs& args) {
    upstreams(mount, args.upstream);
    times(mount, args.times);
    if (args.tls) {
      trust(mount, args);
    } else {
      withoutTls(mount, args);
    }
    const auto isUnix = [](const std::string& to) { return to.starts_with(kUnixSocket); };
    if (!args.keepHost && std::ranges::any_of(args.upstream.to, isUnix)) {
      about(mount, "host",
            R"(found "upstream", but a Unix socket in to has no host; allowed: "keep")");
    }
  }

  void trust(const MountConfig& mount, const ProxyArgs& args) {
    const auto host = parseSiteHost(args.serverName);
    if (!args.serverName.empty() && (!host || host->front() == '*' || IpAddress::parse(*host))) {
      about(mount, "server_name",
            fmt::format("found \"{}\"; allowed: a host name such as \"example.org\"",
                        args.serverName));
    }
    const bool isFaulty = config_.faulty.contains(mount.dottedKey + ".fingerprints") ||
                          config_.faulty.contains(mount.dottedKey + ".ca");
    if (isFaulty || !args.fingerprints.empty() || !args.ca.empty()) return;
    for (const std::string& to : args.upstream.to) {
      const auto address = to.starts_with(kUnixSocket) ? std::nullopt : parseListenAddress(to);
      if (!address || isLoopbackHost(address->host)) continue;
      about(mount, "to",
            fmt::format("found \"{}\", which is another machine: set fingerprints or ca, so that "
                        "it is known which capsule answers",
                        to));
    }
  }

  void withoutTls(const MountConfig& mount, const ProxyArgs& args) {
    for (const auto& [key, isEmpty] :
         {std::pair("server_name", args.serverName.empty()),
          std::pair("fingerprints", args.fingerprints.empty()), std::pair("ca", args.ca.empty()),
          std::pair("certificate", args.certificate.empty()), std::pair("key", args.key.empty())}) {
      if (!isEmpty) about(mount, key, "is for tls = true");
    }
  }

  const Config& config_;
  Complaints complaints_;
};

}  // namespace

Complaints checkDynamic(const Config& config) { return DynamicChecker(config).run(); }

}  // namespace egalaxyd
