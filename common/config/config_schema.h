// The keys of egalaxyd.toml: each is written here once, with its form and in the order of the
// manual. Whoever loads, lists or dumps a configuration is a visitor of describe().
//
// A visitor `v` has
//   v.key(name, T&, Form<T>)                 one value
//   v.list(name, vector<T>&, Form<T>)        an array of them
//   v.named(name, vector<T>&, Form<T>)       an array, or a table of them under names
//   v.people(name, People&)                  a table of names, each with one or more fingerprints
//   v.map(name, map<string, string>&, Secrecy = kPublic)
//                                            a table of strings under keys of the operator's choice
//   v.tables(name, vector<T>&)               an array of tables that describe(v, T&) knows
//   v.rules(name, vector<FileRule>&)         such tables under patterns of the operator's choice
//   v.section(name, T&)                      a table that describe(v, T&) knows
//   v.section(name, optional<T>&)            likewise; nullopt where it is missing
//   v.toggle(name, optional<T>&)             true (T{}), false (nullopt) or a table as a section
//   v.mounts(name, vector<MountConfig>&)     paths within a path; the last key of its table
//   v.sites(name, vector<SiteConfig>&)       the site map
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

/// A TOML value that is neither array nor table.
using Scalar = std::variant<bool, std::int64_t, std::string>;

/// How a T is written. `read` gives nullopt for what `allowed` does not cover.
template <class T>
struct Form {
  std::string types;    ///< "a string", "an integer or a string": which alternatives of Scalar
  std::string allowed;  ///< in words; "" when each value of these types will do
  std::function<std::optional<T>(const Scalar&)> read;
  std::function<Scalar(const T&)> write;
  bool secret = false;               ///< never shown
  bool secretIfWrong = false;        ///< what was found in its place may be a secret: not shown
  std::vector<std::string> names{};  ///< when only these are allowed
  std::string example{};             ///< as TOML, of a list that is empty by default
  bool mayBePerson = false;          ///< "@NAME" stands for the fingerprints of [people]
};

/// The type's name as in Form::types: "a boolean", "an integer", "a string".
std::string_view typeName(const Scalar& value);
/// As TOML: true, 12, "text" with escapes.
std::string tomlText(const Scalar& value);
/// One key of a dotted key, quoted where TOML wants it.
std::string tomlKey(std::string_view key);

/// A database's url with "(masked)" for the password that does not belong there: before the "@", or
/// after "password=".
std::string withoutPassword(std::string_view url);

/// Whether the values of a map may be secrets.
enum class Secrecy { kPublic, kSecret };

namespace forms {

Form<bool> flag();
Form<std::string> text();
Form<std::filesystem::path> path();
Form<std::uint32_t> count();    ///< 0 to 1,000,000
Form<std::uint32_t> workers();  ///< "auto" (0), or 1 to kMostWorkers
Form<int> status();             ///< 10 to 99
Form<std::uint16_t> port();     ///< 1 to 65535
Form<std::uint64_t> size();
Form<milliseconds> duration();
Form<OptionalDuration> optionalDuration();
Form<ListenAddress> listenAddress();
Form<Cidr> cidr();
Form<std::string> language();     ///< tags that META may carry, or ""
Form<std::string> charset();      ///< likewise
Form<std::string> host();         ///< a site's name, in the form that SiteConfig::host has
Form<OptionalDuration> watch();   ///< true (kUsualWatch), false (nullopt) or a duration from 1 s on
Form<std::string> fingerprint();  ///< SHA-256, in the form that AuthenticatedArgs has
/// "off" (nullopt), "forever" (kForever) or a duration.
Form<OptionalDuration> cacheDuration();
Form<std::string> listedFingerprint();  ///< as fingerprint(), or "@NAME"
Form<std::string> writerFingerprint();  ///< as listedFingerprint(), or "*"
Form<TokenDigest> tokenDigest();
Form<TokenDigest> optionalTokenDigest();  ///< or ""
Form<UploadProtocol> uploadProtocol();
Form<std::optional<std::uint64_t>> optionalSize();
Form<std::optional<std::uint64_t>> optionalCount();  ///< "off" or 0 to 1,000,000,000
Form<FreeFloor> freeFloor();                         ///< "1%" or a size
Form<Overwrite> overwrite();
Form<std::uint32_t> fileMode();     ///< "folder" (0), or "0600" to "0666"
Form<KeptVersions> keptVersions();  ///< "off", 1 to 1,000,000, or a duration
Form<SandboxMode> sandboxMode();
Form<StorageKind> storageKind();
Form<std::string> databaseUrl();  ///< shown without a password, see withoutPassword()
Form<TlsVersion> tlsVersion();
Form<LogLevel> logLevel();
Form<LogFormat> logFormat();
Form<AddressMask> addressMask();
Form<SymlinkPolicy> symlinkPolicy();
Form<ListingSort> listingSort();
Form<std::uint32_t> pageEntries();  ///< 1 to 10,000
Form<Sidecar> sidecar();
Form<std::uint32_t> processes();  ///< "auto" (0), or 1 to kMostProcesses
Form<ScriptStyle> scriptStyle();
Form<bool> decides();       ///< "server" (false), "script" (true)
Form<bool> scriptsAs();     ///< "user" (true), "server" (false)
Form<bool> upstreamHost();  ///< "keep" (true), "upstream" (false)
Form<ProxyProtocol> proxyProtocol();
Form<std::string> applicationAddress();  ///< "unix:/run/app.sock", "host:port"
Form<std::string> capsuleAddress();      ///< likewise; "gemini://" in front is taken off

}  // namespace forms

template <class V>
void describe(V& v, ServerConfig& c) {
  v.key("workers", c.workers, forms::workers());
  v.key("user", c.user, forms::text());
  v.key("group", c.group, forms::text());
  v.key("state_dir", c.stateDir, forms::path());
  v.key("runtime_dir", c.runtimeDir, forms::path());
  v.key("drain_timeout", c.drainTimeout, forms::duration());
  v.key("sandbox", c.sandbox, forms::sandboxMode());
}

template <class V>
void describe(V& v, ListenConfig& c) {
  v.list("gemini", c.gemini, forms::listenAddress());
  v.list("titan", c.titan, forms::listenAddress());
  v.list("spartan", c.spartan, forms::listenAddress());
  v.list("public_ports", c.publicPorts, forms::port());
  v.list("proxy_protocol_from", c.proxyProtocolFrom, forms::cidr());
  v.list("deny", c.deny, forms::cidr());
}

template <class V>
void describe(V& v, TlsConfig& c) {
  v.key("certificate", c.certificate, forms::path());
  v.key("key", c.key, forms::path());
  v.key("auto_certificates", c.autoCertificates, forms::flag());
  v.key("watch", c.watch, forms::watch());
  v.key("min_version", c.minVersion, forms::tlsVersion());
}

template <class V>
void describe(V& v, LimitsConfig& c) {
  v.key("connections", c.connections, forms::count());
  v.key("connections_per_ip", c.connectionsPerIp, forms::count());
  v.key("handshake_timeout", c.handshakeTimeout, forms::duration());
  v.key("request_timeout", c.requestTimeout, forms::duration());
  v.key("upload_timeout", c.uploadTimeout, forms::duration());
  v.key("upload_min_rate", c.uploadMinRate, forms::size());
  v.key("write_timeout", c.writeTimeout, forms::duration());
  v.key("download_min_rate", c.downloadMinRate, forms::optionalSize());
}

template <class V>
void describe(V& v, RateLimitConfig& c) {
  v.key("enabled", c.enabled, forms::flag());
  v.key("requests", c.requests, forms::count());
  v.key("per", c.per, forms::duration());
  v.key("penalty", c.penalty, forms::duration());
  v.list("exempt", c.exempt, forms::cidr());
  v.key("module", c.module, forms::text());
}

template <class V>
void describe(V& v, UsersConfig& c) {
  v.key("metadata_ttl", c.metadataTtl, forms::optionalDuration());
  v.key("ttl", c.ttl, forms::optionalDuration());
  v.key("new_per_minute", c.newPerMinute, forms::count());
}

template <class V>
void describe(V& v, StorageConfig& c) {
  v.key("engine", c.engine, forms::storageKind());
  v.key("url", c.url, forms::databaseUrl());
  v.key("password", c.password, forms::path());
  v.key("patience", c.patience, forms::duration());
  v.key("host", c.host, forms::text());
}

template <class V>
void describe(V& v, LogConfig& c) {
  v.key("level", c.level, forms::logLevel());
  v.key("target", c.target, forms::text());
  v.key("access_target", c.accessTarget, forms::text());
  v.key("format", c.format, forms::logFormat());
  v.key("access", c.access, forms::flag());
  v.key("client_ip", c.clientIp, forms::addressMask());
}

template <class V>
void describe(V& v, StatusConfig& c) {
  v.list("listen", c.listen, forms::listenAddress());
  v.key("token", c.token, forms::optionalTokenDigest());
}

template <class V>
void describe(V& v, DynamicConfig& c) {
  v.key("requests", c.requests, forms::count());
  v.key("requests_per_ip", c.requestsPerIp, forms::count());
  v.key("processes", c.processes, forms::processes());
  v.key("queue", c.queue, forms::count());
  v.key("queue_timeout", c.queueTimeout, forms::duration());
  v.key("account", c.account, forms::text());
}

template <class V>
void describe(V& v, RouterConfig& c) {
  v.key("module", c.module, forms::text());
}

template <class V>
void describe(V& v, UploadArgs& c) {
  v.list("over", c.over, forms::uploadProtocol());
  v.list("fingerprints", c.fingerprints, forms::writerFingerprint());
  v.named("tokens", c.tokens, forms::tokenDigest());
  v.key("anyone", c.anyone, forms::flag());
  v.key("max_size", c.maxSize, forms::size());
  v.list("mime", c.mime, forms::text());
  v.key("delete", c.mayDelete, forms::flag());
  v.key("overwrite", c.overwrite, forms::overwrite());
  v.key("create_directories", c.createDirectories, forms::flag());
  v.key("new_folders", c.newFolders, forms::count());
  v.key("depth", c.depth, forms::count());
  v.key("quota", c.quota, forms::optionalSize());
  v.key("total_quota", c.totalQuota, forms::optionalSize());
  v.key("files", c.files, forms::optionalCount());
  v.key("min_free", c.minFree, forms::freeFloor());
  v.key("mode", c.mode, forms::fileMode());
  v.key("keep", c.keep, forms::keptVersions());
  v.key("keep_size", c.keepSize, forms::size());
}

template <class V>
void describe(V& v, ListingArgs& c) {
  v.key("sort", c.sort, forms::listingSort());
  v.key("reverse", c.reverse, forms::flag());
  v.key("titles", c.titles, forms::flag());
  v.key("page", c.page, forms::pageEntries());
}

template <class V>
void describe(V& v, FileRule& c) {
  v.key("mime", c.mime, forms::text());
  v.key("lang", c.lang, forms::language());
  v.key("charset", c.charset, forms::charset());
}

template <class V>
void describe(V& v, DirectoryArgs& c) {
  v.key("root", c.root, forms::path());
  v.list("index", c.index, forms::text());
  v.toggle("listing", c.listing);
  v.key("hidden", c.hidden, forms::flag());
  v.key("symlinks", c.symlinks, forms::symlinkPolicy());
  v.map("mime", c.mime);
  v.key("default_type", c.defaultType, forms::text());
  v.key("charset", c.charset, forms::charset());
  v.key("lang", c.lang, forms::language());
  v.rules("files", c.files);
  v.key("sidecar", c.sidecar, forms::sidecar());
  v.section("upload", c.upload);
}

template <class V>
void describe(V& v, FileArgs& c) {
  v.key("path", c.path, forms::path());
  v.key("mime", c.mime, forms::text());
  v.key("cache", c.cache, forms::cacheDuration());
}

template <class V>
void describe(V& v, AuthenticatedArgs& c) {
  v.list("fingerprints", c.fingerprints, forms::listedFingerprint());
  v.key("ca", c.ca, forms::path());
  v.key("prompt", c.prompt, forms::text());
  v.mounts("sites", c.sites);
}

template <class V>
void describe(V& v, InputArgs& c) {
  v.key("prompt", c.prompt, forms::text());
  v.key("sensitive", c.sensitive, forms::flag());
  v.key("as_meta", c.asMeta, forms::flag());
  v.key("key", c.key, forms::text());
  v.key("cert_prompt", c.certPrompt, forms::text());
  v.mounts("sites", c.sites);
}

template <class V>
void describe(V&, SpyArgs&) {}

template <class V>
void describe(V&, InfoArgs&) {}

template <class V>
void describe(V& v, RedirectArgs& c) {
  v.key("to", c.to, forms::text());
  v.key("permanent", c.permanent, forms::flag());
}

template <class V>
void describe(V& v, ReplyArgs& c) {
  v.key("status", c.status, forms::status());
  v.key("meta", c.meta, forms::text());
  v.key("body", c.body, forms::text());
}

template <class V>
void describe(V& v, PluginArgs& c) {
  v.key("library", c.library, forms::path());
  v.key("class", c.className, forms::text());
  v.map("args", c.args, Secrecy::kSecret);
}

/// Of what an upload into a folder may say, only what a program's request has to do with.
template <class V>
void describe(V& v, ProgramUpload& c) {
  v.list("over", c.rules.over, forms::uploadProtocol());
  v.list("fingerprints", c.rules.fingerprints, forms::writerFingerprint());
  v.named("tokens", c.rules.tokens, forms::tokenDigest());
  v.key("anyone", c.rules.anyone, forms::flag());
  v.key("max_size", c.rules.maxSize, forms::size());
  v.list("mime", c.rules.mime, forms::text());
  v.key("min_free", c.rules.minFree, forms::freeFloor());
  v.key("decides", c.scriptDecides, forms::decides());
}

/// The same of a script's, which may have another name.
template <class V>
void describe(V& v, ScriptUpload& c) {
  describe(v, static_cast<ProgramUpload&>(c));
  v.key("name_suffix", c.nameSuffix, forms::text());
}

template <class V>
void describe(V& v, ProgramTimes& c) {
  v.key("header_timeout", c.header, forms::duration());
  v.key("idle_timeout", c.idle, forms::optionalDuration());
  v.key("timeout", c.whole, forms::optionalDuration());
}

template <class V>
void describe(V& v, ProgramArgs& c) {
  v.key("style", c.style, forms::scriptStyle());
  v.map("env", c.env, Secrecy::kSecret);
  v.key("sensitive", c.sensitive, forms::flag());
  describe(v, c.times);
}

template <class V>
void describe(V& v, CgiArgs& c) {
  v.key("root", c.root, forms::path());
  v.key("script", c.script, forms::path());
  v.list("args", c.args, forms::text());
  v.list("index", c.index, forms::text());
  v.key("symlinks", c.symlinks, forms::symlinkPolicy());
  v.key("hidden", c.hidden, forms::flag());
  describe(v, c.program);
  v.list("pass", c.pass, forms::text());
  v.key("cwd", c.cwd, forms::path());
  v.key("account", c.account, forms::text());
  v.key("processes", c.processes, forms::processes());
  v.key("cpu_time", c.cpuTime, forms::optionalDuration());
  v.section("upload", c.upload);
}

template <class V>
void describe(V& v, UpstreamArgs& c) {
  v.key("connections", c.connections, forms::count());
  v.key("connect_timeout", c.connectTimeout, forms::duration());
  v.key("retry_after", c.retryAfter, forms::duration());
}

template <class V>
void describe(V& v, ScgiArgs& c) {
  v.list("to", c.upstream.to, forms::applicationAddress());
  describe(v, c.upstream);
  describe(v, c.program);
  v.section("upload", c.upload);
}

template <class V>
void describe(V& v, FastcgiArgs& c) {
  v.list("to", c.upstream.to, forms::applicationAddress());
  describe(v, c.upstream);
  v.key("keep", c.keep, forms::count());
  v.key("script_filename", c.scriptFilename, forms::text());
  v.key("root", c.root, forms::path());
  describe(v, c.program);
  v.section("upload", c.upload);
}

template <class V>
void describe(V& v, ProxyArgs& c) {
  v.list("to", c.upstream.to, forms::capsuleAddress());
  v.key("tls", c.tls, forms::flag());
  v.key("host", c.keepHost, forms::upstreamHost());
  v.key("strip", c.strip, forms::flag());
  v.key("server_name", c.serverName, forms::text());
  v.list("fingerprints", c.fingerprints, forms::fingerprint());
  v.key("ca", c.ca, forms::path());
  v.key("certificate", c.certificate, forms::path());
  v.key("key", c.key, forms::path());
  v.key("proxy_protocol", c.proxyProtocol, forms::proxyProtocol());
  v.key("titan", c.titan, forms::flag());
  v.key("sensitive", c.sensitive, forms::flag());
  describe(v, c.upstream);
  describe(v, c.times);
}

template <class V>
void describe(V& v, HomesArgs& c) {
  v.key("root", c.root, forms::path());
  v.list("users", c.users, forms::text());
  v.key("min_uid", c.minUid, forms::count());
  v.list("index", c.index, forms::text());
  v.toggle("listing", c.listing);
  v.key("symlinks", c.symlinks, forms::symlinkPolicy());
  v.key("charset", c.charset, forms::charset());
  v.key("lang", c.lang, forms::language());
  v.key("cgi", c.cgi, forms::text());
  v.key("as", c.asUser, forms::scriptsAs());
  v.key("processes", c.processes, forms::processes());
  v.key("socket", c.socket, forms::text());
  describe(v, c.program);
}

/// The modules' names, in the order of ModuleArgs' alternatives.
inline constexpr std::array<std::string_view, std::variant_size_v<ModuleArgs>> kModuleNames{
    "directory", "file",   "authenticated", "input", "spy",     "info",  "redirect",
    "reply",     "plugin", "cgi",           "scgi",  "fastcgi", "proxy", "homes"};
/// The named module's arguments with their defaults.
std::optional<ModuleArgs> moduleArgs(std::string_view name);

template <class V>
void describe(V& v, PatternRedirect& c) {
  v.key("from", c.from, forms::text());
  v.key("to", c.to, forms::text());
  v.key("permanent", c.permanent, forms::flag());
}

/// A site's own keys; the others of its table are paths.
template <class V>
void describe(V& v, SiteConfig& c) {
  v.list("aliases", c.aliases, forms::host());
  v.key("certificate", c.certificate, forms::path());
  v.key("key", c.key, forms::path());
  v.key("lang", c.lang, forms::language());
  v.key("spartan", c.spartan, forms::flag());
  v.key("log", c.log, forms::path());
  v.tables("redirects", c.redirects);
}

template <class V>
void describe(V& v, Config& c) {
  v.section("server", c.server);
  v.section("listen", c.listen);
  v.section("tls", c.tls);
  v.section("limits", c.limits);
  v.section("rate_limit", c.rateLimit);
  v.section("users", c.users);
  v.section("storage", c.storage);
  v.people("people", c.people);
  v.section("log", c.log);
  v.section("status", c.status);
  v.section("dynamic", c.dynamic);
  v.section("router", c.router);
  v.sites("sites", c.sites);
}

}  // namespace egalaxyd
