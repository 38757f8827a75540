#include "common/config/config_check.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/base/units.h"
#include "common/config/config_schema.h"
#include "common/config/dynamic_check.h"
#include "common/config/findings.h"
#include "common/config/log_places.h"
#include "common/config/redirect_check.h"
#include "common/config/redirect_rules.h"
#include "common/shared/rate_table.h"
#include "common/storage/storage.h"
#include "common/wire/media_type.h"
#include "common/wire/status.h"

namespace egalaxyd {
namespace {

/// Of one directory: each is tried for each page.
constexpr std::size_t kMostFileRules = 1000;

bool isControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }
bool hasControl(std::string_view text) { return std::ranges::any_of(text, isControl); }
bool isHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// "" or what is wrong with a redirect's target.
std::string targetFault(std::string_view to) {
  constexpr auto allowed = "allowed: %path%, %query%, %host% and percent-encoding such as %20";
  if (to.empty()) return "is missing or empty; allowed: a path or a URL";
  if (to.size() > kMaxUriBytes) return fmt::format("longer than {} bytes", kMaxUriBytes);
  if (hasControl(to) || to.find(' ') != std::string_view::npos) {
    return "found a space or a control character; write it percent-encoded";
  }
  for (std::size_t at = to.find('%'); at != std::string_view::npos; at = to.find('%', at)) {
    const std::string_view rest = to.substr(at);
    if (rest.size() >= 3 && isHex(rest[1]) && isHex(rest[2])) {
      at += 3;
      continue;
    }
    const std::size_t end = rest.find('%', 1);
    if (end == std::string_view::npos) return fmt::format("found a lone \"%\"; {}", allowed);
    const std::string_view name = rest.substr(0, end + 1);
    if (name != "%path%" && name != "%query%" && name != "%host%") {
      return fmt::format("found \"{}\"; {}", name, allowed);
    }
    at += name.size();
  }
  return {};
}

constexpr std::size_t kMaxFleetName = 64;

bool isFleetName(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return name.size() <= kMaxFleetName && std::ranges::all_of(name, fits);
}

bool isUnspecified(const ListenAddress& address, bool v4) {
  const auto parsed = IpAddress::parse(address.host);
  return parsed && parsed->isV4() == v4 && parsed == IpAddress::parse(v4 ? "0.0.0.0" : "::");
}

/// Whether both could be bound at once.
bool collide(const ListenAddress& a, const ListenAddress& b) {
  if (a.port != b.port || a.port == 0) return false;
  if (a.host.empty() || b.host.empty() || a.host == b.host) return true;
  const auto first = IpAddress::parse(a.host);
  const auto second = IpAddress::parse(b.host);
  if (!first || !second || first->isV4() != second->isV4()) return false;
  const bool v4 = first->isV4();
  return isUnspecified(a, v4) || isUnspecified(b, v4);
}

class Checker {
 public:
  explicit Checker(const Config& config) : config_(config) {}

  Complaints run() {
    server();
    listeners();
    statusPage();
    certificate("tls", config_.tls.certificate, config_.tls.key);
    limits();
    others();
    storage();
    sites();
    siteNames();
    for (const SiteConfig& site : config_.sites) checkSite(site);
    addComplaints(complaints_, checkRedirects(config_));
    addComplaints(complaints_, checkDynamic(config_));
    return std::move(complaints_);
  }

 private:
  void complain(const std::string& key, std::string text) {
    complaints_.push_back({config_.where(key), std::move(text)});
  }
  void complainOf(const std::string& table, const std::string& where, std::string_view key,
                  std::string_view text) {
    egalaxyd::complainOf(config_, complaints_, {table, where}, key, text);
  }

  /// See Config::faulty.
  bool isFaulty(const std::string& table, std::string_view key) const {
    return config_.faulty.contains(fmt::format("{}.{}", table, key));
  }

  void server() {
    if (config_.server.workers > kMostWorkers) {
      complain("server.workers", fmt::format("found {}; allowed: \"auto\" or 1 to {}",
                                             config_.server.workers, kMostWorkers));
    }
  }

  void listeners() {
    const std::array<std::pair<std::string, const std::vector<ListenAddress>*>, 4> kinds{
        {{"listen.gemini", &config_.listen.gemini},
         {"listen.titan", &config_.listen.titan},
         {"listen.spartan", &config_.listen.spartan},
         {"status.listen", &config_.status.listen}}};
    std::vector<std::pair<std::string, ListenAddress>> earlier;
    for (const auto& [key, addresses] : kinds) {
      for (const ListenAddress& address : *addresses) {
        for (const auto& [otherKey, other] : earlier) {
          if (!collide(address, other)) continue;
          complain(key, fmt::format("found \"{}\", where {} listens already with \"{}\"",
                                    address.text(), otherKey, other.text()));
          break;
        }
        earlier.emplace_back(key, address);
      }
    }
    if (earlier.size() == config_.status.listen.size()) {
      complain("listen", R"(nothing to listen on; set gemini, titan or spartan, e.g. [":1965"])");
    }
  }

  /// It shows more than what is served, over a wire without TLS.
  void statusPage() {
    if (!config_.status.token.hex.empty() || isFaulty("status", "token")) return;
    for (const ListenAddress& address : config_.status.listen) {
      if (isLoopbackHost(address.host)) continue;
      complain("status.listen",
               fmt::format("found \"{}\", which others may reach; allowed: 127.0.0.1, [::1] and "
                           "localhost, or set status.token (\"egalaxyctl token\" makes one)",
                           address.text()));
    }
  }

  void certificate(const std::string& table, const std::filesystem::path& certificate,
                   const std::filesystem::path& key, std::string_view where = {}) {
    if (certificate.empty() == key.empty()) return;
    const std::string_view present = certificate.empty() ? "key" : "certificate";
    const std::string_view missing = certificate.empty() ? "certificate" : "key";
    if (isFaulty(table, missing)) return;
    complainOf(table, where.empty() ? config_.where(table) : std::string(where), present,
               fmt::format("has no {} beside it; set both or neither", missing));
  }

  void mustBePositive(const std::string& key, std::uint64_t value, std::string_view found,
                      std::string_view hint = "") {
    if (value == 0) complain(key, fmt::format("found {}; allowed: more than 0{}", found, hint));
  }
  void mustBePositive(const std::string& key, milliseconds value) {
    mustBePositive(key, static_cast<std::uint64_t>(std::max(value.count(), {})), "\"0s\"");
  }

  void limits() {
    const LimitsConfig& limits = config_.limits;
    mustBePositive("limits.connections", limits.connections, "0");
    mustBePositive("limits.handshake_timeout", limits.handshakeTimeout);
    mustBePositive("limits.request_timeout", limits.requestTimeout);
    mustBePositive("limits.upload_timeout", limits.uploadTimeout);
    mustBePositive("limits.upload_min_rate", limits.uploadMinRate, "0");
    mustBePositive("limits.write_timeout", limits.writeTimeout);
    if (limits.downloadMinRate) {
      mustBePositive("limits.download_min_rate", *limits.downloadMinRate, "0", ", or \"off\"");
    }
    if (limits.connections != 0 && limits.connections < config_.server.workers) {
      complain("limits.connections",
               fmt::format("found {}; allowed: at least one for each of the {} workers",
                           limits.connections, config_.server.workers));
    }
  }

  void others() {
    const RateLimitConfig& rate = config_.rateLimit;
    mustBePositive("rate_limit.requests", rate.requests, "0",
                   "; to have no limit set rate_limit.enabled = false");
    if (rate.requests > RateTable::kMaxRequests) {
      complain("rate_limit.requests",
               fmt::format("found {}; allowed: 1 to {}", rate.requests, RateTable::kMaxRequests));
    }
    mustBePositive("rate_limit.per", rate.per);
    mustBePositive("rate_limit.penalty", rate.penalty);
    if (config_.users.metadataTtl) {
      mustBePositive("users.metadata_ttl", *config_.users.metadataTtl);
    }
    if (config_.users.ttl) mustBePositive("users.ttl", *config_.users.ttl);
    if (config_.log.target.empty()) {
      complain("log.target", R"(found ""; allowed: "stderr", "journal" or a file)");
    }
    const auto places = logPlaces(config_);
    if (places.size() <= kMostLogs) return;
    complaints_.push_back({places[kMostLogs].where,
                           fmt::format("one log too many; allowed: {} of all sites together, since "
                                       "each worker keeps them open; sites may share one",
                                       kMostLogs)});
  }

  void storage() {
    const StorageConfig& storage = config_.storage;
    mustBePositive("storage.patience", storage.patience);
    if (!storage.host.empty() && !isFleetName(storage.host)) {
      complain("storage.host",
               fmt::format("found {}; allowed: 1 to {} letters, digits, \"-\", \"_\" and \".\"",
                           tomlText(storage.host), kMaxFleetName));
    }
    if (storage.engine == StorageKind::kSqlite) return needsNoDatabase();
    if (storage.url.empty() && !isFaulty("storage", "url")) {
      complain("storage.url",
               "is missing; it tells the database's hosts, e.g. "
               R"("postgresql://egalaxyd@db1,db2,db3/egalaxyd?sslmode=verify-full")");
    }
    if (withoutPassword(storage.url) != storage.url) {
      complain("storage.url",
               "holds a password; write that into a file (mode 0600), and its name into "
               "storage.password");
    }
  }

  /// A url that nobody looks at would hide that all is kept on one machine.
  void needsNoDatabase() {
    if (isFaulty("storage", "engine")) return;
    const StorageConfig& storage = config_.storage;
    const bool urlIsSet = !storage.url.empty();
    if (!urlIsSet && storage.password.empty()) return;
    complain(urlIsSet ? "storage.url" : "storage.password",
             R"(is of no use with engine = "sqlite"; set storage.engine = "postgresql")");
  }

  /// Nobody wants a server that answers everything with 53; this is a file that was cut short.
  void sites() {
    if (!config_.sites.empty() || !config_.router.module.empty()) return;
    if (config_.faulty.contains("sites") || isFaulty("router", "module")) return;
    complain("sites", R"(there are none; write [sites."HOST"] and below it root = "FOLDER", or )"
                      "set router.module");
  }

  void siteNames() {
    std::map<std::string, std::string> owners;  // name to where
    for (const SiteConfig& site : config_.sites) {
      // A name that could not be read has been complained of.
      if (site.host.empty()) continue;
      const auto [owner, isNew] = owners.emplace(site.host, site.where);
      if (!isNew) {
        complaints_.push_back({site.where, fmt::format("the host \"{}\" is taken already by {}",
                                                       site.host, owner->second)});
      }
    }
    for (const SiteConfig& site : config_.sites) {
      for (const std::string& alias : site.aliases) {
        const auto [owner, isNew] = owners.emplace(alias, site.where);
        if (isNew) continue;
        complainOf(site.dottedKey, site.where, "aliases",
                   fmt::format("\"{}\" is taken already by {}", alias, owner->second));
      }
    }
  }

  void checkSite(const SiteConfig& site) {
    certificate(site.dottedKey, site.certificate, site.key, site.where);
    if (site.mounts.empty() && !isFaulty(site.dottedKey, "root")) {
      complaints_.push_back({site.where,
                             R"(serves nothing; set root = "FOLDER", or a path such as )"
                             R"("/" with a module)"});
    }
    checkRedirectsOf(site);
    checkMounts(site.mounts);
  }

  void checkRedirectsOf(const SiteConfig& site) {
    const RedirectRules rules(site.redirects);
    for (const RedirectRules::Fault& fault : rules.faults()) {
      const std::string table = site.dottedKey + ".redirects";
      if (fault.key.empty()) {
        complain(table, fault.text);
      } else {
        const std::string one = fmt::format("{}[{}]", table, fault.rule + 1);
        complainOf(one, config_.where(one), fault.key, fault.text);
      }
    }
  }

  void checkMounts(const std::vector<MountConfig>& mounts) {
    for (const MountConfig& mount : mounts) {
      std::visit([&](const auto& args) { check(mount, args); }, mount.args);
      if (const auto* nested = nestedMounts(mount.args)) checkMounts(*nested);
    }
  }

  void about(const MountConfig& mount, std::string_view key, std::string_view text) {
    complainOf(mount.dottedKey, mount.where, key, text);
  }
  void mediaType(const MountConfig& mount, std::string_view key, std::string_view type) {
    if (isMediaType(type)) return;
    about(mount, key,
          fmt::format("found \"{}\"; allowed: a media type such as \"text/plain\"", type));
  }

  void check(const MountConfig& mount, const DirectoryArgs& args) {
    if (args.root.empty()) about(mount, "root", "is missing or empty; allowed: a folder");
    for (const std::string& name : args.index) {
      if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
        about(mount, "index", fmt::format("found \"{}\"; allowed: names of files", name));
      }
    }
    for (const auto& [extension, type] : args.mime) {
      const std::string key = "mime." + tomlKey(extension);
      if (!extension.starts_with('.') || extension.size() < 2) {
        about(mount, key, R"(must begin with "." as ".gmi" does)");
      }
      mediaType(mount, key, type);
    }
    mediaType(mount, "default_type", args.defaultType);
    checkFiles(mount, args);
    if (args.upload) checkUpload(mount, *args.upload);
  }

  void check(const MountConfig& mount, const CgiArgs& args) {
    if (args.upload) checkWriters(mount, *args.upload);
  }
  void check(const MountConfig& mount, const ScgiArgs& args) {
    if (args.upload) checkWriters(mount, *args.upload);
  }
  void check(const MountConfig& mount, const FastcgiArgs& args) {
    if (args.upload) checkWriters(mount, *args.upload);
  }
  void check(const MountConfig& mount, const ProxyArgs& args) {
    certificate(mount.dottedKey, args.certificate, args.key, mount.where);
  }

  void checkFiles(const MountConfig& mount, const DirectoryArgs& args) {
    if (args.files.size() > kMostFileRules) {
      about(
          mount, "files",
          fmt::format("found {} patterns; allowed: at most {}", args.files.size(), kMostFileRules));
    }
    for (const FileRule& rule : args.files) {
      const std::string key = "files." + tomlKey(rule.pattern);
      if (rule.pattern.empty() || rule.pattern.starts_with('/') || rule.pattern.ends_with('/') ||
          rule.pattern.size() > kMaxUriBytes) {
        about(mount, key,
              "is no pattern for a file; allowed: one for its path below the root, such as "
              R"("notes/**/*.txt", without a slash at its ends)");
      }
      if (!rule.mime.empty()) mediaType(mount, key + ".mime", rule.mime);
    }
    constexpr std::string_view kSidecars[] = {"", ".meta", ".molly"};
    const std::string_view sidecar = kSidecars[static_cast<std::size_t>(args.sidecar)];
    if (!sidecar.empty() && std::ranges::find(args.index, sidecar) != args.index.end()) {
      about(mount, "index",
            fmt::format("found \"{}\", which sidecar keeps from being served", sidecar));
    }
  }

  void leastQuota(const MountConfig& mount, std::string_view key,
                  const std::optional<std::uint64_t>& quota) {
    if (!quota || *quota > kBlockBytes) return;
    about(mount, key,
          fmt::format("found {}; allowed: more than the {} that each file counts, or \"off\"",
                      sizeText(*quota), sizeText(kBlockBytes)));
  }

  /// Who may upload what. `elsewise`: what lets anybody besides.
  void checkWriters(const MountConfig& mount, const UploadArgs& upload,
                    std::string_view elsewise = "") {
    if (upload.over.empty()) {
      about(mount, "upload.over", R"(is empty; allowed: "titan", "spartan")");
    }
    const std::string table = mount.dottedKey + ".upload";
    const bool faulty =
        isFaulty(table, "fingerprints") || isFaulty(table, "tokens") || isFaulty(table, "anyone");
    if (upload.fingerprints.empty() && upload.tokens.empty() && !upload.anyone && !faulty) {
      about(mount, "upload",
            fmt::format(
                "lets nobody write; set fingerprints, tokens (\"egalaxyctl token\" makes one) "
                "or anyone = true{}",
                elsewise));
    }
    const bool spartan =
        std::ranges::find(upload.over, UploadProtocol::kSpartan) != upload.over.end();
    if (spartan && !upload.anyone) {
      about(mount, "upload.over",
            fmt::format(R"(found "spartan", which knows neither certificates nor tokens; it needs )"
                        "anyone = true{}",
                        elsewise));
    }
    if (upload.maxSize == 0) about(mount, "upload.max_size", "found 0; allowed: more than 0");
    if (upload.mime.empty()) {
      about(mount, "upload.mime", R"(is empty; allowed: media types such as "text/*")");
    }
    for (const std::string& type : upload.mime) {
      const bool wild = type.ends_with("/*");
      if (isMediaType(wild ? type.substr(0, type.size() - 1) + "x" : type) &&
          type.find(';') == std::string::npos)
        continue;
      about(mount, "upload.mime",
            fmt::format(R"(found "{}"; allowed: a media type such as "text/plain", or "text/*")",
                        type));
    }
  }

  void checkWriters(const MountConfig& mount, const ProgramUpload& upload) {
    UploadArgs rules = upload.rules;
    rules.anyone = rules.anyone || upload.scriptDecides;
    checkWriters(mount, rules, R"( or decides = "script")");
  }

  void checkUpload(const MountConfig& mount, const UploadArgs& upload) {
    checkWriters(mount, upload);
    const bool isShared = config_.storage.engine == StorageKind::kPostgresql;
    if (isShared && upload.maxSize > kMostSharedUpload) {
      about(mount, "upload.max_size",
            fmt::format("found {}; allowed: {} at most, since the database holds it",
                        sizeText(upload.maxSize), sizeText(kMostSharedUpload)));
    }
    const std::string table = mount.dottedKey + ".upload";
    if (upload.createDirectories && upload.newFolders == 0) {
      about(mount, "upload.new_folders",
            "found 0; allowed: more than 0, or create_directories = false");
    }
    if (upload.createDirectories && upload.depth == 0) {
      about(mount, "upload.depth", "found 0; allowed: more than 0, or create_directories = false");
    }
    if (upload.files == 0U) {
      about(mount, "upload.files", R"(found 0; allowed: more than 0, or "off")");
    }
    leastQuota(mount, "upload.quota", upload.quota);
    leastQuota(mount, "upload.total_quota", upload.totalQuota);
    const bool isSet = config_.lines.contains(table + ".keep_size");
    if (isSet && upload.keep.any() && upload.keepSize < upload.maxSize + kBlockBytes) {
      about(mount, "upload.keep_size",
            fmt::format("found {}; allowed: more than upload.max_size, {}, so that each file's "
                        "version can be kept; or keep = \"off\"",
                        sizeText(upload.keepSize), sizeText(upload.maxSize)));
    }
  }

  void check(const MountConfig&, const HomesArgs&) {}

  void check(const MountConfig& mount, const FileArgs& args) {
    if (args.path.empty()) about(mount, "path", "is missing or empty; allowed: a file");
    if (!args.mime.empty()) mediaType(mount, "mime", args.mime);
  }

  /// What a client reads behind a status.
  void metaText(const MountConfig& mount, std::string_view key, std::string_view text) {
    if (text.empty()) {
      about(mount, key, "is empty; allowed: one line of text");
    } else if (text.size() > kMaxMetaBytes) {
      about(mount, key,
            fmt::format("found {} bytes; allowed: at most {}", text.size(), kMaxMetaBytes));
    } else if (!isPrintable(text)) {
      about(mount, key, "found a control character; allowed: one line of text");
    }
  }
  void needsSites(const MountConfig& mount, std::string_view hint) {
    constexpr auto text = "is missing or empty; set a path such as [{}.sites.\"/\"]{}";
    about(mount, "sites", fmt::format(text, mount.dottedKey, hint));
  }

  void check(const MountConfig& mount, const AuthenticatedArgs& args) {
    metaText(mount, "prompt", args.prompt);
    if (args.sites.empty()) needsSites(mount, " with a module");
  }

  void check(const MountConfig& mount, const InputArgs& args) {
    metaText(mount, "prompt", args.prompt);
    metaText(mount, "cert_prompt", args.certPrompt);
    if (const auto checked = checkMetadata(args.key, ""); !checked) {
      about(mount, "key", checked.error().message);
    }
    if (args.sites.empty() && !args.asMeta) {
      needsSites(mount, " with the module that gets the input, or as_meta = true");
    }
  }

  void check(const MountConfig&, const SpyArgs&) {}
  void check(const MountConfig&, const InfoArgs&) {}

  void check(const MountConfig& mount, const PluginArgs& args) {
    if (args.library.empty()) about(mount, "library", "is missing or empty; allowed: a file");
    if (args.className.empty()) about(mount, "class", "is missing or empty; allowed: its name");
  }

  void check(const MountConfig& mount, const RedirectArgs& args) {
    const std::string fault = targetFault(args.to);
    if (!fault.empty()) about(mount, "to", fault);
  }

  void check(const MountConfig& mount, const ReplyArgs& args) {
    if (std::ranges::find(kStatuses, args.status) == kStatuses.end()) {
      const std::string found =
          args.status == 0 ? "is missing" : fmt::format("found {}", args.status);
      return about(mount, "status",
                   fmt::format("{}; allowed: {}", found, fmt::join(kStatuses, " ")));
    }
    if (args.meta.empty() && args.status < 40) {
      about(mount, "meta", fmt::format("is missing or empty; status {} needs it", args.status));
    } else if (args.meta.size() > kMaxMetaBytes) {
      about(mount, "meta",
            fmt::format("found {} bytes; allowed: at most {}", args.meta.size(), kMaxMetaBytes));
    } else if (hasControl(args.meta)) {
      about(mount, "meta", "found a control character; allowed: one line of text");
    } else if (args.status == 20) {
      mediaType(mount, "meta", args.meta);
    }
    if (!args.body.empty() && args.status != 20) {
      about(mount, "body", fmt::format("status {} has none; only 20 does", args.status));
    }
  }

  const Config& config_;
  Complaints complaints_;
};

}  // namespace

Complaints checkConfig(const Config& config) { return Checker(config).run(); }

void addComplaints(Complaints& all, Complaints more) {
  const std::size_t before = all.size();
  for (Complaint& complaint : more) {
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(before);
    const bool known = std::any_of(
        all.begin(), end, [&](const Complaint& other) { return other.where == complaint.where; });
    if (!known) all.push_back(std::move(complaint));
  }
}

}  // namespace egalaxyd
