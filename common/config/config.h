// The configuration as typed values with their defaults. Filled by config_loader, checked by
// config_check, never changed afterwards: a reload makes a new one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/base/result.h"
#include "common/wire/ip_address.h"

namespace egalaxyd {

using std::chrono::milliseconds;

/// A duration that may be switched off (nullopt, "off" in the file).
using OptionalDuration = std::optional<milliseconds>;
/// A duration without an end ("forever" in the file, where it is allowed).
inline constexpr milliseconds kForever = milliseconds::max();

/// One thing that is wrong with a configuration, in the operator's terms.
struct Complaint {
  std::string where;  ///< "egalaxyd.toml:12: limits.connections", or what else was looked at
  std::string text;   ///< what was found, what is allowed
  /// It may be right later although nobody edits anything.
  bool mayPass = false;
};
using Complaints = std::vector<Complaint>;
Complaint complaintOf(std::string where, const Error& error);

/// "HOST:PORT", "[V6]:PORT" or ":PORT" (every address); port 0 lets the kernel choose.
struct ListenAddress {
  std::string host;  ///< empty: every IPv4 and IPv6 address
  std::uint16_t port = 0;
  std::string text() const;
  bool operator==(const ListenAddress&) const = default;
};

enum class SandboxMode { kOff, kAuto, kRequired };
enum class TlsVersion { k12, k13 };
enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson, kCombined };
enum class SymlinkPolicy { kDeny, kInside, kFollow };
/// Whose files beside pages say what those are: agate's ".meta", molly-brown's ".molly".
enum class Sidecar { kNone, kMeta, kMolly };

struct ServerConfig {
  std::uint32_t workers = 0;  ///< 0: one per CPU that the process may run on
  std::string user;           ///< "": egalaxyd if that account exists
  std::string group;          ///< "": the user's own
  std::filesystem::path stateDir;
  std::filesystem::path runtimeDir;
  milliseconds drainTimeout{30'000};
  SandboxMode sandbox = SandboxMode::kAuto;
  bool operator==(const ServerConfig&) const = default;
};

struct ListenConfig {
  std::vector<ListenAddress> gemini{{"", 1965}};
  std::vector<ListenAddress> titan;
  std::vector<ListenAddress> spartan{{"", 3000}};
  std::vector<std::uint16_t> publicPorts;
  std::vector<Cidr> proxyProtocolFrom;
  std::vector<Cidr> deny;  ///< whose connections are closed unheard
  bool operator==(const ListenConfig&) const = default;
};

/// How often tls.watch = true looks.
inline constexpr milliseconds kUsualWatch{30'000};

struct TlsConfig {
  std::filesystem::path certificate;
  std::filesystem::path key;
  bool autoCertificates = true;
  OptionalDuration watch = kUsualWatch;  ///< between two looks for changed files; nullopt: none
  TlsVersion minVersion = TlsVersion::k12;
  bool operator==(const TlsConfig&) const = default;
};

struct LimitsConfig {
  std::uint32_t connections = 20'000;    ///< open connections, all workers together
  std::uint32_t connectionsPerIp = 256;  ///< 0: no limit
  milliseconds handshakeTimeout{5'000};
  milliseconds requestTimeout{10'000};  ///< to a complete request line, the whole of it
  milliseconds uploadTimeout{300'000};
  std::uint64_t uploadMinRate = 1024;  ///< bytes per second, over any 10 s
  milliseconds writeTimeout{30'000};   ///< without any progress of the client's reading
  /// Bytes per second over any 30 s in which the client holds the answer up; nullopt: no limit.
  std::optional<std::uint64_t> downloadMinRate = 1024;
  bool operator==(const LimitsConfig&) const = default;
};

/// 127.0.0.0/8 and ::1.
std::vector<Cidr> loopbackNetworks();
/// Whether `host`, an address without brackets or a name, is this machine itself to its programs.
bool isLoopbackHost(const std::string& host);

struct RateLimitConfig {
  bool enabled = true;
  std::uint32_t requests = 20;
  milliseconds per{60'000};
  milliseconds penalty{60'000};
  std::vector<Cidr> exempt = loopbackNetworks();
  std::string module;
  bool operator==(const RateLimitConfig&) const = default;
};

struct UsersConfig {
  OptionalDuration metadataTtl = milliseconds(std::chrono::hours(24 * 90));
  OptionalDuration ttl = milliseconds(std::chrono::hours(24 * 90));  ///< of those who keep nothing
  std::uint32_t newPerMinute = 100;  ///< made by all workers together; 0: no limit
  bool operator==(const UsersConfig&) const = default;
};

/// What one upload may have where a database holds its content, and from where on it is slow.
inline constexpr std::uint64_t kMostSharedUpload = 1024 * 1024 * 1024;
inline constexpr std::uint64_t kLargeSharedUpload = 256 * 1024 * 1024;

enum class StorageKind { kSqlite, kPostgresql };

/// Where users, their metadata and upload records are kept: a file of this host's, or a database
/// that several hosts share, which holds the content of uploads as well.
struct StorageConfig {
  StorageKind engine = StorageKind::kSqlite;
  std::string url;                 ///< of the database, without a password
  std::filesystem::path password;  ///< the file that holds it; "": there is none
  milliseconds patience{45'000};   ///< how long what needs the database may wait for it
  /// What that file holds: the master reads it before it forks, and then `url` has addresses for
  /// the names in it. Never shown, never from the configuration.
  std::string secret = {};
  std::string host;  ///< this host's name among those that share it; "": the machine's
  bool operator==(const StorageConfig&) const = default;
};

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  std::string target = "stderr";  ///< "stderr", "journal" or a file
  LogFormat format = LogFormat::kText;
  bool access = true;
  AddressMask clientIp = AddressMask::kMasked;
  std::string accessTarget{};  ///< of access lines, likewise; "": `target`
  bool operator==(const LogConfig&) const = default;
};

/// A digest of a secret: 64 lower-case hex digits of its SHA-256.
struct TokenDigest {
  std::string hex;
  std::string name = {};  ///< the operator's; "" when it has none
  bool operator==(const TokenDigest&) const = default;
};

/// The page to look at, and metrics, over HTTP.
struct StatusConfig {
  std::vector<ListenAddress> listen;  ///< empty: there is none
  TokenDigest token;                  ///< empty: nobody is asked for one
  bool operator==(const StatusConfig&) const = default;
};

/// What scripts and applications of all sites share.
struct DynamicConfig {
  std::uint32_t requests = 512;       ///< answered by them at once, all workers together
  std::uint32_t requestsPerIp = 16;   ///< of these of one address, or IPv6 /64
  std::uint32_t processes = 0;        ///< scripts at once; 0: 8 per CPU, at least 16
  std::uint32_t queue = 64;           ///< scripts that may wait for a place
  milliseconds queueTimeout{10'000};  ///< how long
  std::string account;                ///< of scripts; "": see scriptAccount()
  bool operator==(const DynamicConfig&) const = default;
};

struct RouterConfig {
  std::string module;
  bool operator==(const RouterConfig&) const = default;
};

struct MountConfig;

enum class UploadProtocol { kTitan, kSpartan };

/// The operator's names for certificates, by the SHA-256 of a certificate or of its public key in
/// lower-case hex. See common/config/people.h.
using People = std::map<std::string, std::string>;

/// What of a disk stays free: bytes, or this share of it where `percent` is not 0. Neither:
/// nothing.
struct FreeFloor {
  std::uint64_t bytes = 0;
  std::uint32_t percent = 0;
  bool operator==(const FreeFloor&) const = default;
};

enum class Overwrite { kAny, kOwn };

/// Which earlier versions of each file stay: so many, or those replaced within `age`; a count of 0
/// without an age: none.
struct KeptVersions {
  std::uint64_t count = 20;
  OptionalDuration age = {};
  bool any() const { return count != 0 || age; }
  bool operator==(const KeptVersions&) const = default;
};

/// A directory's `upload`: who may change its files, and how.
struct UploadArgs {
  std::vector<UploadProtocol> over{UploadProtocol::kTitan};
  /// SHA-256 of certificates or public keys, lower-case hex, that may write; "*": any certificate.
  /// "@NAME" of the file has become what Config::people has under that name.
  std::vector<std::string> fingerprints;
  std::vector<TokenDigest> tokens;
  bool anyone = false;
  std::uint64_t maxSize = 10 * 1024 * 1024;
  std::vector<std::string> mime{"text/*"};  ///< "type/subtype" or "type/*"
  bool mayDelete = false;
  Overwrite overwrite = Overwrite::kAny;
  bool createDirectories = false;
  std::uint32_t newFolders = 8;  ///< that one upload may make
  std::uint32_t depth = 32;      ///< folders within each other that uploads may make
  // Over all uploads below the mount, with kBlockBytes for each file and each folder on its way.
  std::optional<std::uint64_t> quota;       ///< bytes per user
  std::optional<std::uint64_t> totalQuota;  ///< bytes of all users together
  std::optional<std::uint64_t> files;       ///< of all users together
  FreeFloor minFree{0, 1};
  std::uint32_t mode = 0;  ///< of new files; 0: the folder's, without x
  KeptVersions keep;
  std::uint64_t keepSize = 1024 * 1024 * 1024;  ///< bytes of all versions of the mount
  bool operator==(const UploadArgs&) const = default;
};

enum class ListingSort { kName, kTime, kSize };

/// A directory's `listing`: what the pages look like that list a folder.
struct ListingArgs {
  ListingSort sort = ListingSort::kName;  ///< by time the newest comes first, by size the largest
  bool reverse = false;
  bool titles = false;       ///< the first heading of a gemtext file stands for its name
  std::uint32_t page = 500;  ///< entries
  bool operator==(const ListingArgs&) const = default;
};

/// What a directory says of the files that a pattern covers; "" leaves a value as it is.
struct FileRule {
  std::string pattern;  ///< see common/base/glob.h; of the path below the root
  std::string mime;
  std::string lang;
  std::string charset;
  bool operator==(const FileRule&) const = default;
};

/// module = "directory": a static tree.
struct DirectoryArgs {
  std::filesystem::path root;
  std::vector<std::string> index{"index.gmi", "index.gemini"};
  std::optional<ListingArgs> listing;  ///< nullopt: no folder is listed
  bool hidden = false;
  SymlinkPolicy symlinks = SymlinkPolicy::kInside;
  std::map<std::string, std::string> mime;  ///< ".ext" to "type/sub"
  std::string defaultType = "application/octet-stream";
  std::string charset;
  std::string lang;
  std::vector<FileRule> files;  ///< in the order of the file
  Sidecar sidecar = Sidecar::kNone;
  std::optional<UploadArgs> upload;  ///< nullopt: read only
  bool operator==(const DirectoryArgs&) const = default;
};

/// module = "file": one file.
struct FileArgs {
  std::filesystem::path path;
  std::string mime;  ///< "": by the name's extension
  /// How long the content may be kept in memory; nullopt: not at all, kForever: until a reload.
  OptionalDuration cache{};
  bool operator==(const FileArgs&) const = default;
};

/// module = "redirect". `to` may use %path%, %query% and %host%.
struct RedirectArgs {
  std::string to;
  bool permanent = false;
  bool operator==(const RedirectArgs&) const = default;
};

/// module = "reply": a fixed answer.
struct ReplyArgs {
  int status = 0;
  std::string meta;
  std::string body;
  bool operator==(const ReplyArgs&) const = default;
};

/// module = "authenticated": its `sites` are for holders of a client certificate.
struct AuthenticatedArgs {
  std::vector<MountConfig> sites;
  /// SHA-256 of certificates or public keys, lower-case hex; with `ca` empty too: any certificate.
  std::vector<std::string> fingerprints;
  std::filesystem::path ca;  ///< PEM file; certificates signed by one of these pass
  std::string prompt = "A client certificate is required";
  bool operator==(const AuthenticatedArgs&) const;
};

/// module = "input": asks for input, and hands it to its `sites`.
struct InputArgs {
  std::vector<MountConfig> sites;
  std::string prompt = "Enter input";
  bool sensitive = false;
  bool asMeta = false;  ///< store it in the user's metadata under `key`
  std::string key = "input";
  std::string certPrompt = "A client certificate is required to keep your input";
  bool operator==(const InputArgs&) const;
};

/// module = "spy": what the server knows of the request.
struct SpyArgs {
  bool operator==(const SpyArgs&) const = default;
};

/// module = "info": what the server knows of itself.
struct InfoArgs {
  bool operator==(const InfoArgs&) const = default;
};

/// module = "plugin": a site out of a shared library.
struct PluginArgs {
  std::filesystem::path library;
  std::string className;
  std::map<std::string, std::string> args;
  bool operator==(const PluginArgs&) const = default;
};

/// Whose spelling of the variables a script or an application expects.
enum class ScriptStyle { kJetforce, kGmid, kMollyBrown, kGmcapsule };

/// How long a script or an application, or another capsule, may take.
struct ProgramTimes {
  milliseconds header{20'000};      ///< from the start to a whole header
  OptionalDuration idle{60'000};    ///< of silence while we wait for more
  OptionalDuration whole{120'000};  ///< without the time in which the client held it up
  bool operator==(const ProgramTimes&) const = default;
};

/// Who may send bodies to an application: a directory's rules, of which deletion, folders, quotas
/// and versions have no meaning here; or it decides itself.
struct ProgramUpload {
  UploadArgs rules;
  bool scriptDecides = false;  ///< decides = "script": anyone may, the program looks itself
  bool operator==(const ProgramUpload&) const = default;
};

/// The same of scripts.
struct ScriptUpload : ProgramUpload {
  std::string nameSuffix;  ///< of the script that is run for Titan; "": the same script
  bool operator==(const ScriptUpload&) const = default;
};

/// What `cgi`, `scgi` and `fastcgi` have in common.
struct ProgramArgs {
  ScriptStyle style = ScriptStyle::kJetforce;
  std::map<std::string, std::string> env;  ///< more variables
  bool sensitive = false;                  ///< queries are in no log
  ProgramTimes times;
  bool operator==(const ProgramArgs&) const = default;
};

/// module = "cgi": scripts. Exactly one of `root` and `script` is set.
struct CgiArgs {
  ProgramArgs program;
  std::filesystem::path root;     ///< each executable file below it is a script
  std::filesystem::path script;   ///< or: the one program for all
  std::vector<std::string> args;  ///< of `script`
  std::vector<std::string> index{"index.cgi", "index.gmi", "index.gemini"};
  SymlinkPolicy symlinks = SymlinkPolicy::kInside;
  bool hidden = false;
  std::vector<std::string> pass;  ///< names of the server's own variables
  std::filesystem::path cwd;      ///< "": the script's folder
  std::string account;            ///< "": that of [dynamic]
  std::uint32_t processes = 0;    ///< at once; 0: 8, or the server's number if that is smaller
  OptionalDuration cpuTime{30'000};
  std::optional<ScriptUpload> upload;  ///< nullopt: uploads are 50
  bool operator==(const CgiArgs&) const = default;
};

/// module = "homes": the pages of the machine's users, and their scripts.
struct HomesArgs {
  std::filesystem::path root;           ///< of each user; %user% stands for the name, once
  std::vector<std::string> users{"*"};  ///< who has pages here; "*": anybody
  std::uint32_t minUid = 1000;          ///< of the owners of these folders
  std::vector<std::string> index{"index.gmi", "index.gemini"};
  std::optional<ListingArgs> listing;
  SymlinkPolicy symlinks = SymlinkPolicy::kInside;
  std::string charset;
  std::string lang;
  std::string cgi;              ///< the folder of scripts in each user's root; "": nobody has any
  bool asUser = true;           ///< scripts run as their user; else as [dynamic] has it
  std::uint32_t processes = 0;  ///< scripts of each user at once; as CgiArgs has it
  /// Of each user's application, which speaks SCGI; %home% in front stands for the user's home,
  /// %user% for the name; "": nobody has any.
  std::string socket;
  ProgramArgs program;
  bool operator==(const HomesArgs&) const = default;
};

/// The applications, or capsules, that answer for one mount.
struct UpstreamArgs {
  /// "unix:/run/app.sock", "127.0.0.1:4000", "[::1]:4000", "name:4000"; a proxy's without scheme.
  std::vector<std::string> to;
  std::uint32_t connections = 64;  ///< at once, all workers together
  milliseconds connectTimeout{3'000};
  milliseconds retryAfter{5'000};  ///< until a dead one is tried again
  bool operator==(const UpstreamArgs&) const = default;
};

/// module = "scgi".
struct ScgiArgs {
  ProgramArgs program;
  UpstreamArgs upstream;
  std::optional<ProgramUpload> upload;  ///< nullopt: uploads are 50
  bool operator==(const ScgiArgs&) const = default;
};

/// module = "fastcgi".
struct FastcgiArgs {
  ProgramArgs program;
  UpstreamArgs upstream;
  std::uint32_t keep = 0;      ///< idle connections per worker and upstream
  std::string scriptFilename;  ///< SCRIPT_FILENAME; may use %root% and %path%
  std::filesystem::path root;  ///< DOCUMENT_ROOT, PATH_TRANSLATED
  std::optional<ProgramUpload> upload;
  bool operator==(const FastcgiArgs&) const = default;
};

enum class ProxyProtocol { kOff, kV1, kV2 };

/// module = "proxy": another capsule.
struct ProxyArgs {
  UpstreamArgs upstream;
  bool tls = true;
  bool keepHost = true;    ///< the URL goes on unchanged; else with host and port of `to`
  bool strip = false;      ///< the mount is cut from the path, and put back in redirects
  std::string serverName;  ///< SNI; "": host of `to`, or with keepHost of the URL
  std::vector<std::string> fingerprints;  ///< lower-case hex: certificate or key of the upstream
  std::filesystem::path ca;
  std::filesystem::path certificate;  ///< what we show to it
  std::filesystem::path key;
  ProxyProtocol proxyProtocol = ProxyProtocol::kOff;
  bool titan = false;  ///< uploads go through
  bool sensitive = false;
  ProgramTimes times;
  bool operator==(const ProxyArgs&) const = default;
};

/// What answers below one path; in the order of kModuleNames.
using ModuleArgs = std::variant<DirectoryArgs, FileArgs, AuthenticatedArgs, InputArgs, SpyArgs,
                                InfoArgs, RedirectArgs, ReplyArgs, PluginArgs, CgiArgs, ScgiArgs,
                                FastcgiArgs, ProxyArgs, HomesArgs>;

/// Levels of `sites` within `sites`, the host's own paths being the first.
inline constexpr std::size_t kMaxMountDepth = 16;

struct MountConfig {
  /// Begins with '/', no trailing slash but in "/" itself; relative to the mount that it stands in.
  std::string path;
  std::string where;  ///< for complaints: file, line and key
  ModuleArgs args;
  /// Its table as written, sites."example.org"."/"; "" when it is from no file.
  std::string dottedKey{};
  /// Whether both serve the same; where they were written does not matter.
  bool operator==(const MountConfig& other) const;
};

/// The mounts within `args`, or nullptr for a module that has none.
const std::vector<MountConfig>* nestedMounts(const ModuleArgs& args);
std::vector<MountConfig>* nestedMounts(ModuleArgs& args);

/// One of a site's redirects by pattern, see redirect_rules.h.
struct PatternRedirect {
  std::string from;
  std::string to;
  bool permanent = false;
  bool operator==(const PatternRedirect&) const = default;
};

struct SiteConfig {
  std::string host;  ///< lower-case; "example.org", "*.example.org", "*", an address (no brackets)
  std::string where;
  std::vector<std::string> aliases;
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::string lang;
  bool spartan = true;
  std::vector<PatternRedirect> redirects;  ///< the first that matches counts
  std::vector<MountConfig> mounts;
  /// Its table as written, sites."example.org"; "" when it is from no file.
  std::string dottedKey{};
  std::filesystem::path log{};  ///< its access lines' file; "": they go where the others go
};

/// Where a key stands.
struct KeyPlace {
  std::size_t file = 0;  ///< 0: Config::file, else one more than its place in Config::included
  std::size_t line = 0;
  auto operator<=>(const KeyPlace&) const = default;
};

/// What one pattern of `include` names: the files in `folder` and, where the pattern has more than
/// one part, below it.
struct IncludePattern {
  std::filesystem::path folder;  ///< without wildcards, as complaints name it; "": where we are
  std::string names;             ///< as glob(3) has them, relative to it: "*.toml"
  bool operator==(const IncludePattern&) const = default;
};

struct Config {
  /// The file that was read, as it was named; empty when there was none.
  std::filesystem::path file;
  /// The files that it includes, in the order in which they were read.
  std::vector<std::filesystem::path> included;
  std::vector<IncludePattern> includePatterns;
  /// The place of each key that the files set, by dotted key: limits.connections.
  std::map<std::string, KeyPlace> lines;
  /// Dotted keys that have been complained of, and those that unknown keys were likely meant to be:
  /// that such a key is missing is no second fault.
  std::set<std::string> faulty;
  ServerConfig server;
  ListenConfig listen;
  TlsConfig tls;
  LimitsConfig limits;
  RateLimitConfig rateLimit;
  UsersConfig users;
  StorageConfig storage;
  People people;
  LogConfig log;
  StatusConfig status;
  DynamicConfig dynamic;
  RouterConfig router;
  std::vector<SiteConfig> sites;

  /// Where `key` stands, for complaints: "egalaxyd.toml:12: limits.connections"; without the line
  /// when it has its default, without the file when there is none.
  std::string where(const std::string& key) const;
  /// "egalaxyd.toml:12"
  std::string where(const KeyPlace& place) const;
};

/// The sites as TLS sees them: a router out of a plug-in may serve without any, which is one for
/// every host.
std::vector<SiteConfig> sitesWithCertificates(const Config& config);

}  // namespace egalaxyd
