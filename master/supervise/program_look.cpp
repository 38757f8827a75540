#include "master/supervise/program_look.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/config/config_loader.h"
#include "common/config/dynamic_mounts.h"
#include "common/system/script_account.h"
#include "common/tls/certificate.h"
#include "master/supervise/account_look.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUnix = "unix:";
constexpr auto kLookUpPatience = std::chrono::seconds(2);
/// Of one root: more are not looked at.
constexpr std::size_t kMostEntries = 10'000;
constexpr std::size_t kMostWritableNamed = 4;

std::string whereOf(const Config& config, const MountConfig& mount, std::string_view key) {
  const std::string full = fmt::format("{}.{}", mount.dottedKey, key);
  return config.lines.contains(full) ? config.where(full) : mount.where;
}

std::string realOf(const fs::path& path) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(path, error);
  if (error) real = path.lexically_normal();
  return (real.has_filename() ? real : real.parent_path()).string();
}

/// Whether `path` is `folder` or lies below it; both without links.
bool isIn(std::string_view path, std::string_view folder) {
  if (folder == "/") return true;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

const fs::path& placeOf(const CgiArgs& args) {
  return args.script.empty() ? args.root : args.script;
}

/// A mount that answers itself, under its whole path.
struct Answering {
  std::string path;
  const MountConfig* mount;
};

void collectAnswering(const std::vector<MountConfig>& mounts, const std::string& above,
                      std::vector<Answering>& all) {
  for (const MountConfig& mount : mounts) {
    const std::string path = mount.path == "/" && !above.empty() ? above : above + mount.path;
    if (const auto* nested = nestedMounts(mount.args)) {
      collectAnswering(*nested, path == "/" ? "" : path, all);
    } else {
      all.push_back({path, &mount});
    }
  }
}

std::vector<Answering> answeringOf(const SiteConfig& site) {
  std::vector<Answering> all;
  collectAnswering(site.mounts, "", all);
  return all;
}

// ---- accounts --------------------------------------------------------------------------------

/// Where an account stands that `scriptAccounts` names.
std::string whereOfAccount(const Config& config, const std::string& account) {
  for (const CgiMount& script : dynamicMounts(config).scripts) {
    if (!account.empty() && account != config.dynamic.account && script.args->account == account) {
      return whereOf(config, *script.mount, script.user.empty() ? "account" : "users");
    }
  }
  return config.where("dynamic.account");
}

bool hasScripts(const Config& config, const std::string& account) {
  const auto scripts = dynamicMounts(config).scripts;
  return std::ranges::any_of(scripts, [&](const CgiMount& script) {
    const std::string& own = script.args->account;
    return (own.empty() ? config.dynamic.account : own) == account;
  });
}

bool hasLandlock() {
  return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

void checkSharing(const Config& config, const std::string& where, const std::string& user,
                  Findings& found) {
  if (config.server.sandbox == SandboxMode::kOff) {
    found.complaints.push_back(
        {where, fmt::format("scripts would run as {}, the workers' account, and with "
                            "server.sandbox = \"off\" nothing keeps the server's own files from "
                            "them: name another account, or set sandbox = \"auto\"",
                            user)});
    return;
  }
  constexpr auto kLandlocked =
      "Landlock keeps the state and the run-time folder from them, but what else it may read, or "
      "write, so may they";
  constexpr auto kOpen =
      "this kernel has no Landlock that would keep the server's own files from them";
  found.warnings.push_back(
      {where,
       fmt::format("scripts run as {}, the workers' account: {}; better give them an account "
                   "of their own, such as {}",
                   user, hasLandlock() ? kLandlocked : kOpen, kScriptAccount)});
}

/// By what configuration calls them; those that cannot be had are complained of.
std::map<std::string, ScriptAccount> checkAccounts(const Config& config, uid_t master,
                                                   Findings& found) {
  std::map<std::string, ScriptAccount> accounts;
  for (const std::string& name : scriptAccounts(config)) {
    const std::string where = whereOfAccount(config, name);
    const auto account = scriptAccount(name, config.server, master);
    if (!account) {
      found.complaints.push_back(complaintOf(where, account.error()));
      continue;
    }
    accounts.emplace(name, *account);
    if (account->isWorkers && hasScripts(config, name)) {
      checkSharing(config, where, account->account.user, found);
    }
  }
  return accounts;
}

// ---- scripts ---------------------------------------------------------------------------------

bool everybodyWrites(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && !S_ISLNK(status.st_mode) &&
         (status.st_mode & S_IWOTH) != 0;
}

/// Folders and scripts below the root that everybody may write to.
std::vector<std::string> writableIn(const fs::path& root, bool hidden) {
  std::vector<std::string> writable;
  if (everybodyWrites(root)) writable.push_back(root.string());
  std::error_code error;
  fs::recursive_directory_iterator entry(root, fs::directory_options::skip_permission_denied,
                                         error);
  std::size_t seen = 0;
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (++seen > kMostEntries || writable.size() > kMostWritableNamed) break;
    if (!hidden && entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
      continue;
    }
    std::error_code unknown;
    const fs::file_status status = entry->symlink_status(unknown);
    const bool isScript =
        fs::is_regular_file(status) && (status.permissions() & fs::perms(0111)) != fs::perms::none;
    if ((isScript || fs::is_directory(status)) && everybodyWrites(entry->path())) {
      writable.push_back(entry->path().string());
    }
  }
  return writable;
}

/// The program and its folder; where that has the sticky bit, nobody else can replace the program.
std::vector<std::string> writableAround(const fs::path& script) {
  std::vector<std::string> writable;
  const fs::path folder = fs::path(realOf(script)).parent_path();
  struct stat status {};
  const bool isSticky = ::stat(folder.c_str(), &status) == 0 && (status.st_mode & S_ISVTX) != 0;
  if (everybodyWrites(folder) && !isSticky) writable.push_back(folder.string());
  if (everybodyWrites(realOf(script))) writable.push_back(script.string());
  return writable;
}

void checkWritable(const Config& config, const CgiMount& script, Complaints& found) {
  const CgiArgs& args = *script.args;
  auto writable =
      args.script.empty() ? writableIn(args.root, args.hidden) : writableAround(args.script);
  if (writable.empty()) return;
  const bool more = writable.size() > kMostWritableNamed;
  if (more) writable.resize(kMostWritableNamed);
  found.push_back({whereOf(config, *script.mount),
                   fmt::format("everybody may write to {}{}, and with that say what this server "
                               "runs: chmod o-w",
                               fmt::join(writable, ", "), more ? " and others" : "")});
}

/// Uploads into a folder of scripts would be run.
void checkUploads(const Config& config, const CgiMount& script, Complaints& found) {
  const std::string place = realOf(placeOf(*script.args));
  for (const SiteConfig& site : config.sites) {
    for (const Answering& other : answeringOf(site)) {
      const auto* directory = std::get_if<DirectoryArgs>(&other.mount->args);
      if (directory == nullptr || !directory->upload) continue;
      const std::string root = realOf(directory->root);
      if (!isIn(place, root) && !isIn(root, place)) continue;
      found.push_back({whereOf(config, *script.mount),
                       fmt::format("{}: uploads come into {}, see {}; whoever may upload would say "
                                   "what this server runs: move one of them",
                                   placeOf(*script.args).string(), directory->root.string(),
                                   whereOf(config, *other.mount))});
    }
  }
}

/// Whether the site's folder at `shown` is what answers for `path`.
bool answersFor(const std::vector<Answering>& all, const Answering& shown,
                const std::string& path) {
  const auto reaches = [&](const Answering& each) {
    return isIn(path, each.path) && each.path.size() > shown.path.size();
  };
  return std::ranges::none_of(all, reaches);
}

/// A directory that shows the scripts' sources.
void checkSources(const Config& config, const CgiMount& script, Complaints& warnings) {
  const std::string place = realOf(placeOf(*script.args));
  for (const SiteConfig& site : config.sites) {
    const auto all = answeringOf(site);
    for (const Answering& other : all) {
      const auto* directory = std::get_if<DirectoryArgs>(&other.mount->args);
      if (directory == nullptr || directory->root.empty()) continue;
      const std::string root = realOf(directory->root);
      if (!isIn(place, root)) continue;
      const std::string below = place.substr(root == "/" ? 0 : root.size());
      if (!directory->hidden && below.find("/.") != std::string::npos) continue;
      if (!answersFor(all, other, (other.path == "/" ? "" : other.path) + below)) continue;
      warnings.push_back(
          {whereOf(config, *script.mount),
           fmt::format("{} is served by a directory too, which shows the scripts' "
                       "sources, see {}",
                       placeOf(*script.args).string(), whereOf(config, *other.mount))});
    }
  }
}

/// With the eyes of the scripts' account.
Complaints outOfScriptsReach(const Config& config, const std::string& account) {
  Complaints found;
  std::error_code error;
  const auto may = [](const fs::path& path, int how) {
    return ::faccessat(AT_FDCWD, path.c_str(), how, AT_EACCESS) == 0 || errno == ENOENT;
  };
  for (const CgiMount& script : dynamicMounts(config).scripts) {
    const CgiArgs& args = *script.args;
    if ((args.account.empty() ? config.dynamic.account : args.account) != account) continue;
    if (!may(placeOf(args), X_OK)) {
      found.push_back({whereOf(config, *script.mount),
                       fmt::format("{}: the scripts' account may not {} it; its requests fail "
                                   "meanwhile",
                                   placeOf(args).string(), args.script.empty() ? "enter" : "run")});
    }
    if (args.cwd.empty() || (may(args.cwd, X_OK) && fs::is_directory(args.cwd, error))) continue;
    found.push_back({whereOf(config, *script.mount, "cwd"),
                     fmt::format("{}: the scripts' account finds no folder that it may enter; "
                                 "requests fail meanwhile",
                                 args.cwd.string())});
  }
  return found;
}

void checkScript(const Config& config, const CgiMount& script, Complaints& warnings) {
  if (script.args->script.empty()) return;  // the workers' eyes look at roots
  struct stat status {};
  if (::stat(script.args->script.c_str(), &status) == 0 && S_ISREG(status.st_mode)) return;
  warnings.push_back({whereOf(config, *script.mount),
                      fmt::format("{}: there is no such program; its requests fail meanwhile",
                                  script.args->script.string())});
}

// ---- applications and capsules ---------------------------------------------------------------

void checkSocket(const Config& config, const UpstreamMount& upstream, Complaints& warnings) {
  if (!upstream.address.starts_with(kUnix)) return;
  if (std::holds_alternative<HomesArgs>(upstream.mount->args)) return;  // users come and go
  const fs::path path = upstream.address.substr(kUnix.size());
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) return;
  std::error_code error;
  const char* const why = !fs::is_directory(path.parent_path(), error) ? "there is no such folder"
                          : fs::exists(path, error)                    ? "it is no socket"
                                                    : "there is no such socket yet";
  warnings.push_back({whereOf(config, *upstream.mount, "to"),
                      fmt::format("{}: {}; requests fail meanwhile", path.string(), why)});
}

void checkTrust(const Config& config, const MountConfig& mount, const ProxyArgs& args,
                Complaints& found) {
  if (!args.certificate.empty() && !args.key.empty()) {
    const auto shown = readKeyedCertificate(args.certificate, args.key);
    if (!shown) found.push_back(complaintOf(whereOf(config, mount, "certificate"), shown.error()));
  }
  if (args.ca.empty()) return;
  const auto authorities = readCertificates(args.ca);
  if (!authorities) found.push_back(complaintOf(whereOf(config, mount, "ca"), authorities.error()));
}

/// Asks for the names of many addresses at once; see getaddrinfo_a(3). For a process that ends with
/// it: what has not been answered goes on.
class NameLook {
 public:
  explicit NameLook(const std::vector<UpstreamMount>& upstreams) {
    hints_.ai_family = AF_UNSPEC;
    hints_.ai_socktype = SOCK_STREAM;
    for (const UpstreamMount& upstream : upstreams) {
      const auto address = parseListenAddress(upstream.address);
      if (address) hosts_.try_emplace(address->host);
    }
    for (auto& [host, request] : hosts_) {
      request.ar_name = host.c_str();
      request.ar_request = &hints_;
      gaicb* one[] = {&request};
      if (::getaddrinfo_a(GAI_NOWAIT, one, 1, nullptr) != 0) return;
    }
    const auto end = std::chrono::steady_clock::now() + kLookUpPatience;
    for (auto& [host, request] : hosts_) await(request, end);
  }

  /// As getaddrinfo(3) says; EAI_INPROGRESS: not in time.
  int outcome(const std::string& host) { return ::gai_error(&hosts_.at(host)); }
  const addrinfo* addresses(const std::string& host) { return hosts_.at(host).ar_result; }

 private:
  static void await(gaicb& request, std::chrono::steady_clock::time_point end) {
    const gaicb* one[] = {&request};
    while (::gai_error(&request) == EAI_INPROGRESS) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      if (left.count() <= 0) return;
      const timespec most{left.count() / 1000, left.count() % 1000 * 1'000'000};
      ::gai_suspend(one, 1, &most);
    }
  }

  addrinfo hints_{};
  std::map<std::string, gaicb> hosts_;
};

/// Only an address of this machine can be bound.
bool isOfThisMachine(const addrinfo& address) {
  sockaddr_storage anyPort{};
  std::memcpy(&anyPort, address.ai_addr, address.ai_addrlen);
  const UniqueFd fd(::socket(address.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return fd &&
         ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&anyPort), address.ai_addrlen) == 0;
}

bool listensEverywhere(const Config& config, std::uint16_t port) {
  for (const auto* own : {&config.listen.gemini, &config.listen.titan, &config.listen.spartan}) {
    for (const ListenAddress& each : *own) {
      if (each.port == port && (each.host.empty() || each.host == "::" || each.host == "0.0.0.0")) {
        return true;
      }
    }
  }
  return false;
}

/// "" or what is wrong with the names of an address.
std::string nameFault(const Config& config, const ListenAddress& address, NameLook& names) {
  const int outcome = names.outcome(address.host);
  if (outcome == EAI_INPROGRESS) return "no name server has said within 2 s where that is";
  if (outcome != 0) return fmt::format("it cannot be looked up: {}", ::gai_strerror(outcome));
  if (!listensEverywhere(config, address.port)) return {};
  for (const addrinfo* to = names.addresses(address.host); to != nullptr; to = to->ai_next) {
    if (isOfThisMachine(*to)) return "that is this machine, and this server itself listens there";
  }
  return {};
}

Complaints lookAtNames(const Config& config) {
  Complaints found;
  const auto upstreams = dynamicMounts(config).upstreams;
  NameLook names(upstreams);
  for (const UpstreamMount& upstream : upstreams) {
    const auto address = parseListenAddress(upstream.address);
    if (!address) continue;
    const std::string fault = nameFault(config, *address, names);
    if (fault.empty()) continue;
    found.push_back({whereOf(config, *upstream.mount, "to"),
                     fmt::format("{}: {}; requests fail meanwhile", upstream.address, fault)});
  }
  return found;
}

// ---- all of it -------------------------------------------------------------------------------

Complaints mistakesOnDisk(const Config& config) {
  Complaints found;
  const DynamicMounts mounts = dynamicMounts(config);
  for (const CgiMount& script : mounts.scripts) {
    if (placeOf(*script.args).empty()) continue;
    checkWritable(config, script, found);
    checkUploads(config, script, found);
  }
  const MountConfig* last = nullptr;
  for (const UpstreamMount& upstream : mounts.upstreams) {
    const auto* proxy = std::get_if<ProxyArgs>(&upstream.mount->args);
    if (proxy != nullptr && upstream.mount != last) {
      checkTrust(config, *upstream.mount, *proxy, found);
    }
    last = upstream.mount;
  }
  return found;
}

Complaints doubtsOnDisk(const Config& config) {
  Complaints found;
  const DynamicMounts mounts = dynamicMounts(config);
  for (const CgiMount& script : mounts.scripts) {
    if (placeOf(*script.args).empty()) continue;
    checkScript(config, script, found);
    checkSources(config, script, found);
  }
  for (const UpstreamMount& upstream : mounts.upstreams) checkSocket(config, upstream, found);
  return found;
}

void addAll(Complaints& all, Complaints more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

}  // namespace

void lookAtPrograms(const Config& config, Findings& found, uid_t master) {
  const DynamicMounts mounts = dynamicMounts(config);
  if (mounts.none()) return;
  const auto accounts = checkAccounts(config, master, found);
  addAll(found.complaints, lookApart([&] { return mistakesOnDisk(config); }));
  addAll(found.warnings, lookApart([&] { return doubtsOnDisk(config); }));
  for (const auto& entry : accounts) {
    const Account& account = entry.second.account;
    const bool isOwn = account.uid == ::geteuid();
    const bool canLook = isOwn || ::geteuid() == 0;
    if (!canLook || !hasScripts(config, entry.first)) continue;
    const auto look = [&] { return outOfScriptsReach(config, entry.first); };
    addAll(found.warnings, isOwn ? lookApart(look) : lookAs(account, look));
  }
  if (!mounts.upstreams.empty()) {
    addAll(found.warnings, lookApart([&] { return lookAtNames(config); }));
  }
}

}  // namespace egalaxyd
