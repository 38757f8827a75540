#include "common/config/config_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "common/config/config_check.h"
#include "common/config/config_dump.h"
#include "common/config/people.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

const std::filesystem::path kFile = "/etc/egalaxyd/egalaxyd.toml";

LoadedConfig load(std::string_view toml) { return parseConfig(toml, kFile); }

/// The configuration of a text without complaints.
Config good(std::string_view toml) {
  LoadedConfig loaded = load(toml);
  for (const Complaint& complaint : loaded.complaints) {
    ADD_FAILURE() << complaint.where << ": " << complaint.text;
  }
  return std::move(loaded.config);
}

template <class Args>
Args only(const Config& config) {
  return std::get<Args>(config.sites.at(0).mounts.at(0).args);
}

auto complaint(const std::string& where, const std::string& text) {
  return AllOf(Field(&Complaint::where, "/etc/egalaxyd/egalaxyd.toml:" + where),
               Field(&Complaint::text, HasSubstr(text)));
}

/// Everything but places, which depend on the file.
void expectSame(const Config& a, const Config& b) {
  EXPECT_EQ(a.server, b.server);
  EXPECT_EQ(a.listen, b.listen);
  EXPECT_EQ(a.tls, b.tls);
  EXPECT_EQ(a.limits, b.limits);
  EXPECT_EQ(a.rateLimit, b.rateLimit);
  EXPECT_EQ(a.users, b.users);
  EXPECT_EQ(a.people, b.people);
  EXPECT_EQ(a.log, b.log);
  EXPECT_EQ(a.dynamic, b.dynamic);
  EXPECT_EQ(a.router, b.router);
  ASSERT_EQ(a.sites.size(), b.sites.size());
  for (std::size_t i = 0; i < a.sites.size(); ++i) {
    const SiteConfig& x = a.sites[i];
    const SiteConfig& y = b.sites[i];
    EXPECT_EQ(x.host, y.host);
    EXPECT_EQ(x.aliases, y.aliases);
    EXPECT_EQ(x.certificate, y.certificate);
    EXPECT_EQ(x.key, y.key);
    EXPECT_EQ(x.lang, y.lang);
    EXPECT_EQ(x.spartan, y.spartan);
    ASSERT_EQ(x.mounts.size(), y.mounts.size());
    for (std::size_t j = 0; j < x.mounts.size(); ++j) {
      EXPECT_EQ(x.mounts[j].path, y.mounts[j].path);
      EXPECT_EQ(x.mounts[j].args, y.mounts[j].args);
    }
  }
}

TEST(ConfigLoader, GivesTheDefaultsForAnEmptyFile) {
  expectSame(good(""), Config{});
  expectSame(good("# nothing\n[server]\n[listen]\n[sites]\n"), Config{});
}

TEST(ConfigLoader, ReadsTheServerSection) {
  const ServerConfig server = good(R"([server]
workers = 4
user = "gem"
group = "www"
state_dir = "/srv/state"
runtime_dir = "run"
drain_timeout = "2m"
sandbox = "required")")
                                  .server;
  EXPECT_EQ(server.workers, 4U);
  EXPECT_EQ(server.user, "gem");
  EXPECT_EQ(server.group, "www");
  EXPECT_EQ(server.stateDir, "/srv/state");
  EXPECT_EQ(server.runtimeDir, "/etc/egalaxyd/run");
  EXPECT_EQ(server.drainTimeout, milliseconds(120'000));
  EXPECT_EQ(server.sandbox, SandboxMode::kRequired);
  EXPECT_EQ(good("server.workers = \"auto\"").server.workers, 0U);
}

TEST(ConfigLoader, ReadsTheListenSection) {
  const ListenConfig listen = good(R"([listen]
gemini = ["LocalHost:1965", "[::1]:0"]
titan = [":1966"]
spartan = []
public_ports = [1965, 65535]
proxy_protocol_from = ["10.0.0.0/8", "::1"]
deny = ["192.0.2.0/24"])")
                                  .listen;
  EXPECT_THAT(listen.gemini,
              ElementsAre(ListenAddress{"localhost", 1965}, ListenAddress{"::1", 0}));
  EXPECT_THAT(listen.titan, ElementsAre(ListenAddress{"", 1966}));
  EXPECT_THAT(listen.spartan, IsEmpty());
  EXPECT_THAT(listen.publicPorts, ElementsAre(1965, 65535));
  EXPECT_THAT(listen.deny, ElementsAre(*Cidr::parse("192.0.2.0/24")));
  EXPECT_THAT(listen.proxyProtocolFrom,
              ElementsAre(*Cidr::parse("10.0.0.0/8"), *Cidr::parse("::1")));
}

TEST(ConfigLoader, ReadsTheTlsSection) {
  const TlsConfig tls = good(R"([tls]
certificate = "server.crt"
key = "/keys/server.key"
auto_certificates = false
min_version = "1.3")")
                            .tls;
  EXPECT_EQ(tls.certificate, "/etc/egalaxyd/server.crt");
  EXPECT_EQ(tls.key, "/keys/server.key");
  EXPECT_FALSE(tls.autoCertificates);
  EXPECT_EQ(tls.minVersion, TlsVersion::k13);
}

TEST(ConfigLoader, ReadsLimitsInTheirUnits) {
  const LimitsConfig limits = good(R"([limits]
connections = 1
connections_per_ip = 0
handshake_timeout = "250ms"
request_timeout = "1s"
upload_timeout = "1h"
upload_min_rate = 512
write_timeout = "1d"
download_min_rate = "2KiB")")
                                  .limits;
  EXPECT_EQ(limits.connections, 1U);
  EXPECT_EQ(limits.connectionsPerIp, 0U);
  EXPECT_EQ(limits.handshakeTimeout, milliseconds(250));
  EXPECT_EQ(limits.requestTimeout, milliseconds(1'000));
  EXPECT_EQ(limits.uploadTimeout, milliseconds(3'600'000));
  EXPECT_EQ(limits.uploadMinRate, 512U);
  EXPECT_EQ(limits.writeTimeout, milliseconds(86'400'000));
  EXPECT_EQ(limits.downloadMinRate, 2048U);
  EXPECT_EQ(good("limits.upload_min_rate = \"64KiB\"").limits.uploadMinRate, 65'536U);
  EXPECT_EQ(good("limits.download_min_rate = \"off\"").limits.downloadMinRate, std::nullopt);
}

TEST(ConfigLoader, FindsPlugInsBesideItsFile) {
  const Config config = good("router.module = \"lib/r.so:R\"\nrate_limit.module = \"/l.so\"");
  EXPECT_EQ(config.router.module, std::filesystem::path(kFile).parent_path() / "lib/r.so:R");
  EXPECT_EQ(config.rateLimit.module, "/l.so");
}

TEST(ConfigLoader, ReadsTheOtherSections) {
  const Config config = good(R"(
[rate_limit]
enabled = false
requests = 5
per = "10s"
penalty = "20s"
exempt = ["192.0.2.0/24"]
module = "/lib/x.so:Limiter"
[users]
metadata_ttl = "off"
ttl = "1d"
new_per_minute = 7
[log]
level = "debug"
target = "journal"
format = "json"
access = false
client_ip = "full"
access_target = "/var/log/a"
[router]
module = "/lib/y.so")");
  RateLimitConfig rate;
  rate.enabled = false;
  rate.requests = 5;
  rate.per = milliseconds(10'000);
  rate.penalty = milliseconds(20'000);
  rate.exempt = {*Cidr::parse("192.0.2.0/24")};
  rate.module = "/lib/x.so:Limiter";
  EXPECT_EQ(config.rateLimit, rate);
  EXPECT_EQ(config.users.metadataTtl, std::nullopt);
  EXPECT_EQ(config.users.ttl, milliseconds(86'400'000));
  EXPECT_EQ(config.users.newPerMinute, 7u);
  EXPECT_EQ(config.log, (LogConfig{LogLevel::kDebug, "journal", LogFormat::kJson, false,
                                   AddressMask::kFull, "/var/log/a"}));
  EXPECT_EQ(config.router.module, "/lib/y.so");
  EXPECT_EQ(good("users.metadata_ttl = \"7d\"").users.metadataTtl, milliseconds(604'800'000));
}

TEST(ConfigLoader, ResolvesALogFileAgainstTheFoldersOfTheFile) {
  EXPECT_EQ(good("log.target = \"stderr\"").log.target, "stderr");
  EXPECT_EQ(good("log.target = \"journal\"").log.target, "journal");
  EXPECT_EQ(good("log.target = \"log/../e.log\"").log.target, "/etc/egalaxyd/e.log");
  EXPECT_EQ(good("log.target = \"/var/log/e\"").log.target, "/var/log/e");
  EXPECT_EQ(good("log.access_target = \"journal\"").log.accessTarget, "journal");
  EXPECT_EQ(good("log.access_target = \"a.log\"").log.accessTarget, "/etc/egalaxyd/a.log");
  EXPECT_EQ(good("sites.h.root = \"/srv\"\nsites.h.log = \"log/h.log\"").sites.at(0).log,
            "/etc/egalaxyd/log/h.log");
}

TEST(ConfigLoader, ResolvesPathsAgainstTheWorkingFolderForAFileNamedAlone) {
  const LoadedConfig loaded = parseConfig("tls.key = \"k\"", "egalaxyd.toml");
  EXPECT_EQ(loaded.config.tls.key, std::filesystem::current_path() / "k");
}

TEST(ConfigLoader, ReadsAListingAsASwitchOrATable) {
  const auto listing = [](const std::string& value) {
    return only<DirectoryArgs>(good("[sites.h]\nroot = \"r\"\nlisting = " + value)).listing;
  };
  EXPECT_EQ(listing("false"), std::nullopt);
  EXPECT_EQ(listing("true"), ListingArgs{});
  EXPECT_EQ(listing("{}"), ListingArgs{});
  EXPECT_EQ(listing("{ sort = \"time\", reverse = true, titles = true, page = 50 }"),
            (ListingArgs{ListingSort::kTime, true, true, 50}));
  EXPECT_EQ(
      only<DirectoryArgs>(good("[sites.h]\nroot = \"r\"\n[sites.h.listing]\npage = 1")).listing,
      (ListingArgs{ListingSort::kName, false, false, 1}));
  const struct {
    std::string value, key, text;
  } faults[] = {{"{ sort = \"date\" }", ".sort", "allowed: \"name\", \"time\", \"size\""},
                {"{ page = 0 }", ".page", "found 0; allowed: 1 to 10000"},
                {"{ sorted = true }", ".sorted", "did you mean \"sort\"?"},
                {"3", "", "expected a boolean or a table, found an integer"}};
  for (const auto& [value, key, text] : faults) {
    EXPECT_THAT(load("[sites.h]\nroot = \"r\"\nlisting = " + value).complaints,
                ElementsAre(complaint("3: sites.h.listing" + key, text)))
        << value;
  }
}

TEST(ConfigLoader, ReadsADirectory) {
  const auto args = only<DirectoryArgs>(good(R"([sites."example.org"."/"]
module = "directory"
root = "capsule"
index = ["a.gmi"]
listing = true
hidden = true
symlinks = "deny"
mime = { ".x" = "a/b", ".y" = "c/d" }
default_type = "text/plain"
charset = "utf-8"
lang = "de")"));
  DirectoryArgs expected;
  expected.root = "/etc/egalaxyd/capsule";
  expected.index = {"a.gmi"};
  expected.listing.emplace();
  expected.hidden = true;
  expected.symlinks = SymlinkPolicy::kDeny;
  expected.mime = {{".x", "a/b"}, {".y", "c/d"}};
  expected.defaultType = "text/plain";
  expected.charset = "utf-8";
  expected.lang = "de";
  EXPECT_EQ(args, expected);
}

TEST(ConfigLoader, ReadsTheOtherModules) {
  EXPECT_EQ(
      only<FileArgs>(good("[sites.a.\"/f\"]\nmodule = \"file\"\npath = \"f\"\nmime = \"a/b\"")),
      (FileArgs{"/etc/egalaxyd/f", "a/b"}));
  EXPECT_EQ(only<RedirectArgs>(
                good("[sites.a.\"/r\"]\nmodule = \"redirect\"\nto = \"/x\"\npermanent = true")),
            (RedirectArgs{"/x", true}));
  EXPECT_EQ(only<ReplyArgs>(good(
                "[sites.a.\"/r\"]\nmodule = \"reply\"\nstatus = 20\nmeta = \"a/b\"\nbody = \"c\"")),
            (ReplyArgs{20, "a/b", "c"}));
}

TEST(ConfigLoader, ReadsASitesOwnKeys) {
  const SiteConfig site = good(R"([sites."Example.ORG"]
aliases = ["WWW.example.org", "[2001:db8:0::1]"]
certificate = "c"
key = "k"
lang = "en"
spartan = false
[sites."Example.ORG"."/"]
module = "directory"
root = "/r")")
                              .sites.at(0);
  EXPECT_EQ(site.host, "example.org");
  EXPECT_THAT(site.aliases, ElementsAre("www.example.org", "2001:db8::1"));
  EXPECT_EQ(site.certificate, "/etc/egalaxyd/c");
  EXPECT_EQ(site.key, "/etc/egalaxyd/k");
  EXPECT_EQ(site.lang, "en");
  EXPECT_FALSE(site.spartan);
  EXPECT_EQ(site.dottedKey, R"(sites."Example.ORG")");
  EXPECT_EQ(site.where, R"(/etc/egalaxyd/egalaxyd.toml:1: sites."Example.ORG")");
  EXPECT_EQ(site.mounts.at(0).dottedKey, R"(sites."Example.ORG"."/")");
  EXPECT_EQ(site.mounts.at(0).where, R"(/etc/egalaxyd/egalaxyd.toml:7: sites."Example.ORG"."/")");
}

TEST(ConfigLoader, KeepsSitesAndPathsInTheOrderOfTheFile) {
  const Config config = good(R"([sites.z]
root = "/z"
[sites.a."/b"]
module = "directory"
root = "/b"
[sites.a."/a"]
module = "directory"
root = "/a")");
  ASSERT_EQ(config.sites.size(), 2U);
  EXPECT_EQ(config.sites[0].host, "z");
  EXPECT_EQ(config.sites[1].mounts.at(0).path, "/b");
  EXPECT_EQ(config.sites[1].mounts.at(1).path, "/a");
}

TEST(ConfigLoader, TakesARootWithoutPathsAsADirectoryAtTheTop) {
  const Config config = good("[sites.\"*\"]\nroot = \"r\"\nlisting = true\nlang = \"fr\"");
  const MountConfig& mount = config.sites.at(0).mounts.at(0);
  EXPECT_EQ(mount.path, "/");
  const auto args = only<DirectoryArgs>(config);
  EXPECT_EQ(args.root, "/etc/egalaxyd/r");
  EXPECT_TRUE(args.listing);
  EXPECT_EQ(args.lang, "fr");
}

TEST(ConfigLoader, GivesTheSitesLanguageToFoldersThatNameNone) {
  const SiteConfig site = good(R"([sites.a]
lang = "en"
[sites.a."/"]
module = "directory"
root = "/r"
[sites.a."/de"]
module = "directory"
root = "/d"
lang = "de")")
                              .sites.at(0);
  EXPECT_EQ(std::get<DirectoryArgs>(site.mounts.at(0).args).lang, "en");
  EXPECT_EQ(std::get<DirectoryArgs>(site.mounts.at(1).args).lang, "de");
}

TEST(ConfigLoader, ReadsAuthenticatedAndWhatItHolds) {
  const std::string hex(64, 'a');
  const Config config = good(R"([sites.h]
lang = "en"
[sites.h."/area"]
module = "authenticated"
fingerprints = ["SHA256:)" + std::string(64, 'A') +
                             R"(", ")" + hex + R"("]
ca = "ca.pem"
prompt = "Who are you?"
[sites.h."/area".sites."/"]
module = "directory"
root = "r"
[sites.h."/area".sites."/ask/"]
module = "input"
prompt = "Say"
sensitive = true
as_meta = true
key = "said"
cert_prompt = "Show"
sites."/".module = "spy"
sites."/info".module = "info")");
  const auto args = only<AuthenticatedArgs>(config);
  EXPECT_THAT(args.fingerprints, ElementsAre(hex, hex));
  EXPECT_EQ(args.ca, "/etc/egalaxyd/ca.pem");
  EXPECT_EQ(args.prompt, "Who are you?");
  ASSERT_EQ(args.sites.size(), 2U);
  EXPECT_EQ(args.sites[0].path, "/");
  EXPECT_EQ(args.sites[0].dottedKey, "sites.h.\"/area\".sites.\"/\"");
  EXPECT_EQ(std::get<DirectoryArgs>(args.sites[0].args).root, "/etc/egalaxyd/r");
  EXPECT_EQ(std::get<DirectoryArgs>(args.sites[0].args).lang, "en");
  EXPECT_EQ(args.sites[1].path, "/ask");
  const auto& input = std::get<InputArgs>(args.sites[1].args);
  EXPECT_EQ(input.prompt, "Say");
  EXPECT_TRUE(input.sensitive);
  EXPECT_TRUE(input.asMeta);
  EXPECT_EQ(input.key, "said");
  EXPECT_EQ(input.certPrompt, "Show");
  ASSERT_EQ(input.sites.size(), 2U);
  EXPECT_TRUE(std::holds_alternative<SpyArgs>(input.sites[0].args));
  EXPECT_TRUE(std::holds_alternative<InfoArgs>(input.sites[1].args));
}

TEST(ConfigLoader, ReadsAPlugIn) {
  const auto args = only<PluginArgs>(good(R"([sites.h."/"]
module = "plugin"
library = "x.so"
class = "Guestbook"
args = { title = "Hello" })"));
  EXPECT_EQ(args.library, "/etc/egalaxyd/x.so");
  EXPECT_EQ(args.className, "Guestbook");
  EXPECT_EQ(args.args.at("title"), "Hello");
}

TEST(ConfigLoader, ReadsHowLongAFileIsKept) {
  const auto cache = [](const std::string& value) {
    return only<FileArgs>(
               good("[sites.h.\"/\"]\nmodule = \"file\"\npath = \"p\"\ncache = \"" + value + "\""))
        .cache;
  };
  EXPECT_EQ(cache("off"), std::nullopt);
  EXPECT_EQ(cache("forever"), kForever);
  EXPECT_EQ(cache("90s"), milliseconds(90'000));
}

/// `levels` of "/a", each within the one before.
std::string nested(std::size_t levels) {
  std::string toml;
  std::string key = "sites.h";
  for (std::size_t i = 1; i < levels; ++i) {
    key += (i == 1 ? "" : ".sites") + std::string(".\"/a\"");
    toml += "[" + key + "]\nmodule = \"authenticated\"\n";
  }
  return toml + "[" + key + ".sites.\"/a\"]\nmodule = \"spy\"\n";
}

TEST(ConfigLoader, BoundsTheDepthOfPathsWithinPaths) {
  EXPECT_THAT(load(nested(kMaxMountDepth)).complaints, IsEmpty());
  const Complaints complaints = load(nested(kMaxMountDepth + 1)).complaints;
  ASSERT_EQ(complaints.size(), 1U);
  EXPECT_THAT(complaints[0].text, HasSubstr("nested too deeply; allowed: 16 levels"));
  EXPECT_THAT(load(nested(100)).complaints, testing::SizeIs(1));
}

TEST(ConfigLoader, DropsATrailingSlashOfAPath) {
  const auto path = [](const std::string& key) {
    return good("[sites.a.\"" + key + "\"]\nmodule = \"reply\"\nstatus = 52")
        .sites.at(0)
        .mounts.at(0)
        .path;
  };
  EXPECT_EQ(path("/"), "/");
  EXPECT_EQ(path("/a"), "/a");
  EXPECT_EQ(path("/a/"), "/a");
  EXPECT_EQ(path("/a/b c/...x/"), "/a/b c/...x");
}

TEST(ConfigLoader, RemembersTheLineOfEachKey) {
  const Config config = good("[limits]\n\nconnections = 5\n[sites.\"a.b\"]\nroot = \"/r\"\n");
  EXPECT_EQ(config.where("limits.connections"), kFile.string() + ":3: limits.connections");
  EXPECT_EQ(config.where("limits.write_timeout"), kFile.string() + ": limits.write_timeout");
  EXPECT_EQ(config.lines.at(R"(sites."a.b".root)").line, 5U);
  EXPECT_EQ(Config{}.where("limits.connections"), "limits.connections");
}

struct Bad {
  std::string toml;
  std::string where;  ///< "LINE: KEY"
  std::string text;
};

class ConfigLoaderRefuses : public testing::TestWithParam<Bad> {};

TEST_P(ConfigLoaderRefuses, OneThingAndNothingElse) {
  const auto& [toml, where, text] = GetParam();
  EXPECT_THAT(load(toml).complaints, ElementsAre(complaint(where, text))) << toml;
}

const Bad kBadNames[] = {
    {"servre = 1", "1: servre", "unknown key; did you mean \"server\"?"},
    {"[limts]\nconnections = 1", "1: limts", "did you mean \"limits\"?"},
    {"[server]\nworker = 1", "2: server.worker", "did you mean \"workers\"?"},
    {"[server]\nWorkers = 1", "2: server.Workers", "did you mean \"workers\"?"},
    {"[listen]\ngemnii = []", "2: listen.gemnii", "did you mean \"gemini\"?"},
    {"[users]\nfoo = 1", "2: users.foo", "unknown key; allowed: \"metadata_ttl\""},
    {"[server]\n\"a.b\" = 1", "2: server.\"a.b\"", "unknown key"},
    {"[sites.a]\nroot = \"/r\"\nspartn = true", "3: sites.a.spartn", "did you mean \"spartan\"?"},
    {"[sites.a]\nroot = \"/r\"\nlistng = true", "3: sites.a.listng", "did you mean \"listing\"?"},
    {"[sites.a]\nrooot = \"/r\"", "2: sites.a.rooot", "did you mean \"root\"?"},
    {"[sites.a.wiki]\nroot = \"/r\"", "1: sites.a.wiki", "a path begins with \"/\""},
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nlistign = true",
     "4: sites.a.\"/\".listign", "did you mean \"listing\"?"},
    {"[sites.a.\"/\"]\nmodule = \"authenticated\"\n[sites.a.\"/\".sites.wiki]\nmodule = \"spy\"",
     "3: sites.a.\"/\".sites.wiki", "a path begins with \"/\""},
    {"[sites.a.\"/\"]\nmodule = \"authenticated\"\n[sites.a.\"/\".sites.\"/x\"]\nmodule = "
     "\"input\"\nsensitiv = true",
     "5: sites.a.\"/\".sites.\"/x\".sensitiv", "did you mean \"sensitive\"?"},
    {"[sites.a.\"/\"]\nmodule = \"authenticated\"\nfingerprints = [\"SHA256:abc\"]",
     "3: sites.a.\"/\".fingerprints", "found something else; allowed: the SHA-256"},
    {"[sites.a.\"/\"]\nmodule = \"file\"\npath = \"/r\"\ncache = \"always\"",
     "4: sites.a.\"/\".cache", "or \"forever\""},
    {"[sites.a.\"/\"]\nmodule = \"file\"\npath = \"/r\"\nlisting = true",
     "4: sites.a.\"/\".listing", "unknown key; allowed: \"module\", \"path\", \"mime\", \"cache\""},
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload = {quota = \"some\"}",
     "4: sites.a.\"/\".upload.quota", "found \"some\"; allowed: a size such as"},
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload = {min_free = \"100%\"}",
     "4: sites.a.\"/\".upload.min_free", "found \"100%\"; allowed: a share such as \"1%\""},
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload = {min_free = \"1.5%\"}",
     "4: sites.a.\"/\".upload.min_free", "up to \"99%\", or a size"},
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload = {files = -1}",
     "4: sites.a.\"/\".upload.files", "found -1; allowed: 0 to 1000000000, or \"off\""},
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload = {overwrite = \"mine\"}",
     "4: sites.a.\"/\".upload.overwrite", "allowed: \"any\", \"own\""},
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload = {new_folders = \"8\"}",
     "4: sites.a.\"/\".upload.new_folders", "an integer"},
    // A token where its digest belongs is not repeated.
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload = {tokens = [\"secret\"]}",
     "4: sites.a.\"/\".upload.tokens", "found something else; allowed: \"sha256:\" and 64 hex"},
    {"[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\n"
     "upload.fingerprints = [\"my secret token\"]",
     "4: sites.a.\"/\".upload.fingerprints", "found something else; allowed: the SHA-256 of"},
    {"[sites.a.\"/\"]\nmodule = \"dirctory\"\nroot = \"/r\"", "2: sites.a.\"/\".module",
     "found \"dirctory\"; allowed: \"directory\", \"file\", \"authenticated\", \"input\""},
    {"[sites.a.\"/\"]\nmodule = \"gopher\"", "2: sites.a.\"/\".module",
     "found \"gopher\"; allowed: "},
    {"[sites.a.\"/\"]\nroot = \"/r\"", "1: sites.a.\"/\"",
     "module is missing; allowed: \"directory\""},
    {"[sites.a.\"/\"]\nmodul = \"directory\"\nroot = \"/r\"", "2: sites.a.\"/\".modul",
     "unknown key; did you mean \"module\"?"},
};

TEST(ConfigLoader, NamesMisspeltKeysOfAPathWithoutAModule) {
  const LoadedConfig loaded = load("[sites.a.\"/\"]\nrot = \"/r\"\nlistign = true\nxyzzy = 1");
  ASSERT_EQ(loaded.complaints.size(), 3U);
  EXPECT_THAT(loaded.complaints[0].text, HasSubstr("module is missing"));
  EXPECT_THAT(loaded.complaints[1].text, HasSubstr("did you mean \"root\"?"));
  EXPECT_THAT(loaded.complaints[2].text, HasSubstr("did you mean \"listing\"?"));
}

// ---- people and named tokens -----------------------------------------------------------------

/// "SHA256:…" of one digit, in TOML.
std::string sum(char digit) { return "\"SHA256:" + std::string(64, digit) + "\""; }
std::string token(char digit) { return "\"sha256:" + std::string(64, digit) + "\""; }
std::string areaFor(const std::string& fingerprints) {
  return "[sites.a.\"/\"]\nmodule = \"authenticated\"\nfingerprints = [" + fingerprints +
         "]\nsites.\"/\".module = \"spy\"\n";
}
std::string wikiWith(const std::string& upload) {
  return "[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload." + upload + "\n";
}
UploadArgs uploadIn(const Config& config) { return *only<DirectoryArgs>(config).upload; }

TEST(People, StandForTheirFingerprintsWhereverTheTableIs) {
  const std::string people =
      "[people]\nann = " + sum('A') + "\n\"b.ob\" = [" + sum('b') + ", " + sum('c') + "]\n";
  const std::string a(64, 'a'), b(64, 'b'), c(64, 'c'), d(64, 'd');
  for (const std::string& text : {people + areaFor("\"@b.ob\", \"@ann\", " + sum('d')),
                                  areaFor("\"@b.ob\", \"@ann\", " + sum('d')) + people}) {
    const Config config = good(text);
    EXPECT_EQ(config.people, (People{{a, "ann"}, {b, "b.ob"}, {c, "b.ob"}}));
    EXPECT_THAT(only<AuthenticatedArgs>(config).fingerprints, ElementsAre(b, c, a, d));
  }
  const Config writers = good(people + wikiWith("fingerprints = [\"*\", \"@ann\"]"));
  EXPECT_THAT(uploadIn(writers).fingerprints, ElementsAre("*", a));
}

TEST(People, GiveTheirNamesToCertificatesAndKeys) {
  const std::string a(64, 'a'), b(64, 'b'), c(64, 'c');
  const People people{{a, "ann"}, {b, "bob"}};
  EXPECT_EQ(nameOf(people, a, c), "ann");
  EXPECT_EQ(nameOf(people, c, b), "bob");
  EXPECT_EQ(nameOf(people, a, b), "ann") << "the certificate says more than its key";
  EXPECT_EQ(nameOf(people, c, c), "");
}

TEST(People, HaveNamesOfFewKindsOfCharacters) {
  for (const char* name : {"a", "Ann", "ann-2", "a.b_c", "-", "0"})
    EXPECT_TRUE(isName(name)) << name;
  EXPECT_TRUE(isName(std::string(64, 'x')));
  for (const char* name : {"", "a b", "@a", "\xc3\xa4", "a\n", "a\"", "a/b", "a=b"}) {
    EXPECT_FALSE(isName(name)) << name;
    EXPECT_TRUE(isName(nameLike(name))) << name;
  }
  EXPECT_FALSE(isName(std::string(65, 'x')));
  EXPECT_EQ(nameLike("Ann Lee"), "Ann-Lee");
}

TEST(NamedTokens, AreATableBesideTheArray) {
  const UploadArgs named =
      uploadIn(good(wikiWith("tokens = { ann = " + token('A') + ", bob = " + token('b') + " }")));
  EXPECT_THAT(named.tokens, ElementsAre(TokenDigest{std::string(64, 'a'), "ann"},
                                        TokenDigest{std::string(64, 'b'), "bob"}));
  const UploadArgs unnamed = uploadIn(good(wikiWith("tokens = [" + token('a') + "]")));
  EXPECT_THAT(unnamed.tokens, ElementsAre(TokenDigest{std::string(64, 'a'), ""}));
}

TEST(People, AndTokensThatAreWrongAreToldWithWhatToWrite) {
  const std::string ann = "[people]\nann = " + sum('a') + "\n";
  const std::string longName(65, 'x');
  const struct {
    std::string toml, where, text;
  } cases[] = {
      {"[people]\nann = \"SHA256:abc\"", "2: people.ann",
       "found something else; allowed: the SHA-256 of"},
      {"[people]\nann = [" + sum('a') + ", \"x\"]", "2: people.ann", "found something else"},
      {"[people]\nann = 5", "2: people.ann", "expected a string, found an integer"},
      {"[people]\nann = []", "2: people.ann", "is empty; allowed: one fingerprint or more"},
      {"[people]\nann = \"@bob\"", "2: people.ann", "found something else"},
      {"[people]\n\"a b\" = " + sum('a'), "2: people.\"a b\"",
       "cannot be a name; allowed: 1 to 64 letters, digits"},
      {"[people]\n" + longName + " = " + sum('a'), "2: people." + longName, "cannot be a name"},
      {"[people]\nann.lee = " + sum('a'), "2: people.ann",
       "found a table; a name with dots stands in quotes"},
      {ann + "bob = " + sum('A'), "3: people.bob",
       "has a certificate of \"ann\"; a certificate has one name"},
      {"people = 1", "1: people", "expected a table, found an integer"},
      {ann + areaFor("\"@an\""), "5: sites.a.\"/\".fingerprints",
       "nobody in [people] is \"an\"; did you mean \"@ann\"?"},
      {ann + areaFor("\n\"@zoe\""), "6: sites.a.\"/\".fingerprints",
       "nobody in [people] is \"zoe\"; allowed: \"@ann\""},
      {areaFor("\"@ann\""), "3: sites.a.\"/\".fingerprints",
       "nobody in [people] is \"ann\"; write below it ann = \"SHA256:…\""},
      {ann + areaFor("\"ann\""), "5: sites.a.\"/\".fingerprints", "did you mean \"@ann\"?"},
      {ann + wikiWith("fingerprints = [\"@bob\"]"), "6: sites.a.\"/\".upload.fingerprints",
       "nobody in [people] is \"bob\""},
      {areaFor("\"@\""), "3: sites.a.\"/\".fingerprints",
       "found something else; allowed: the SHA-256 of"},
      {wikiWith("tokens = { ann = \"secret\" }"), "4: sites.a.\"/\".upload.tokens.ann",
       "found something else; allowed: \"sha256:\" and 64 hex"},
      {wikiWith("tokens = { \"a b\" = " + token('a') + " }"),
       "4: sites.a.\"/\".upload.tokens.\"a b\"", "cannot be a name"},
      {wikiWith("tokens = { ann = " + token('a') + ", bob = " + token('A') + " }"),
       "4: sites.a.\"/\".upload.tokens.bob", "has the token of \"ann\"; a token has one name"},
      {wikiWith("tokens = {}"), "4: sites.a.\"/\".upload", "lets nobody write"},
  };
  for (const auto& each : cases) {
    LoadedConfig loaded = load(each.toml);
    addComplaints(loaded.complaints, checkConfig(loaded.config));
    std::string all;
    for (const Complaint& c : loaded.complaints) all += c.where + ": " + c.text + "\n";
    EXPECT_THAT(all, HasSubstr(each.where + ": ")) << each.toml;
    EXPECT_THAT(all, HasSubstr(each.text)) << each.toml;
    EXPECT_THAT(all, testing::Not(HasSubstr("secret"))) << all;
  }
}

TEST(People, WhoAreFaultyAreNoSecondFaultWhereTheyAreNamed) {
  EXPECT_EQ(load("[people]\nann = \"x\"\n" + areaFor("\"@ann\"")).complaints.size(), 1U);
}

TEST(ConfigDump, NamesPeopleAndLoadsBack) {
  const std::string people =
      "[people]\nann = " + sum('A') + "\nbob = [" + sum('c') + ", " + sum('b') + "]\n";
  const Config config =
      good(people + areaFor(sum('b') + ", \"@ann\", " + sum('d')) +
           "[sites.b.\"/\"]\nmodule = \"directory\"\nroot = \"r\"\nupload.fingerprints = [" +
           sum('c') + ", \"*\", " + sum('b') + "]");
  const std::string dump = dumpConfig(config);
  EXPECT_THAT(dump, HasSubstr("\n[people]\nann = " + sum('a') + "\nbob = [" + sum('b') + ", " +
                              sum('c') + "]\n"));
  EXPECT_THAT(dump, HasSubstr("fingerprints = [" + sum('b') + ", \"@ann\", " + sum('d') + "]"))
      << "one of Bob's two is not Bob";
  EXPECT_THAT(dump, HasSubstr("fingerprints = [\"@bob\", \"*\"]"));
  const LoadedConfig again = load(dump);
  EXPECT_THAT(again.complaints, IsEmpty()) << dump;
  EXPECT_EQ(dumpConfig(again.config), dump);
}

TEST(ConfigDump, ShowsTheNamesOfTokensAndNotTheirDigests) {
  const std::string dump = dumpConfig(
      good(wikiWith("tokens = { ann = " + token('a') + ", \"b.c\" = " + token('b') + " }")));
  EXPECT_THAT(dump, HasSubstr("tokens = { ann = \"(masked)\", \"b.c\" = \"(masked)\" }\n"));
}

const Bad kBadTypes[] = {
    {"server = 1", "1: server", "expected a table, found an integer"},
    {"sites = []", "1: sites", "expected a table, found an array"},
    {"[sites]\na = \"/r\"", "2: sites.a", "expected a table, found a string"},
    {"[sites.a]\n\"/\" = \"/r\"", "2: sites.a.\"/\"", "expected a table, found a string"},
    {"[server]\nuser = 5", "2: server.user", "expected a string, found an integer"},
    {"[server]\nuser = true", "2: server.user", "expected a string, found a boolean"},
    {"[server]\nuser = 1.5", "2: server.user", "expected a string, found a float"},
    {"[server]\nuser = []", "2: server.user", "expected a string, found an array"},
    {"[server]\nuser = {}", "2: server.user", "expected a string, found a table"},
    {"[server]\nuser = 1979-05-27", "2: server.user", "expected a string, found a date or time"},
    {"[server]\nworkers = true", "2: server.workers",
     "expected an integer or a string, found a boolean; allowed: \"auto\" or 1 to 128"},
    {"[server]\ndrain_timeout = 30", "2: server.drain_timeout",
     "expected a string, found an integer; allowed: a duration such as"},
    {"[tls]\nauto_certificates = \"yes\"", "2: tls.auto_certificates",
     "expected a boolean, found a string"},
    {"[tls]\nmin_version = 1.2", "2: tls.min_version",
     "expected a string, found a float; allowed: \"1.2\", \"1.3\""},
    {"[tls]\nkey = 1", "2: tls.key", "expected a string, found an integer; allowed: a path"},
    {"[limits]\nconnections = \"5\"", "2: limits.connections",
     "expected an integer, found a string"},
    {"[limits]\nupload_min_rate = 1.5", "2: limits.upload_min_rate",
     "expected a string or an integer, found a float"},
    {"[listen]\ngemini = \":1965\"", "2: listen.gemini", "expected an array, found a string"},
    {"[listen]\ngemini = [\n\":1\",\n1965]", "4: listen.gemini",
     "expected a string, found an integer"},
    {"[listen]\npublic_ports = [\"1\"]", "2: listen.public_ports",
     "expected an integer, found a string"},
    {"[sites.a]\nroot = \"/r\"\nmime = [\"a/b\"]", "3: sites.a.mime",
     "expected a table, found an array"},
    {"[sites.a]\nroot = \"/r\"\nmime = { \".x\" = 1 }", "3: sites.a.mime.\".x\"",
     "expected a string, found an integer"},
    {"[sites.a]\nroot = \"/r\"\nlang = 1", "3: sites.a.lang",
     "expected a string, found an integer"},
    {"[sites.a.\"/\"]\nmodule = 1", "2: sites.a.\"/\".module",
     "expected a string, found an integer"},
};

const Bad kBadValues[] = {
    {"[server]\nworkers = 0", "2: server.workers", "found 0; allowed: \"auto\" or 1 to 128"},
    {"[server]\nworkers = 129", "2: server.workers", "found 129; allowed: \"auto\" or 1 to 128"},
    {"[server]\nworkers = \"all\"", "2: server.workers", "found \"all\"; allowed: \"auto\""},
    {"[server]\ndrain_timeout = \"30 s\"", "2: server.drain_timeout",
     "found \"30 s\"; allowed: a duration such as \"250ms\", \"30s\", \"5m\", \"2h\" or \"7d\""},
    {"[server]\ndrain_timeout = \"off\"", "2: server.drain_timeout",
     "found \"off\"; allowed: a duration"},
    {"[server]\nsandbox = \"on\"", "2: server.sandbox",
     "found \"on\"; allowed: \"off\", \"auto\", \"required\""},
    {"[server]\nstate_dir = \"a\\u0000b\"", "2: server.state_dir", "allowed: a path"},
    {"[listen]\ngemini = [\"1965\"]", "2: listen.gemini",
     "found \"1965\"; allowed: \"HOST:PORT\", \"[IPV6]:PORT\" or \":PORT\""},
    {"[listen]\npublic_ports = [0]", "2: listen.public_ports", "found 0; allowed: 1 to 65535"},
    {"[listen]\npublic_ports = [65536]", "2: listen.public_ports",
     "found 65536; allowed: 1 to 65535"},
    {"[listen]\nproxy_protocol_from = [\"10.0.0.0/33\"]", "2: listen.proxy_protocol_from",
     "found \"10.0.0.0/33\"; allowed: a network such as"},
    {"[tls]\nmin_version = \"1.1\"", "2: tls.min_version",
     "found \"1.1\"; allowed: \"1.2\", \"1.3\""},
    {"[limits]\nconnections = -1", "2: limits.connections", "found -1; allowed: 0 to 1000000"},
    {"[limits]\nconnections = 5000000000", "2: limits.connections",
     "found 5000000000; allowed: 0 to"},
    {"[limits]\nupload_min_rate = \"1KB\"", "2: limits.upload_min_rate",
     "found \"1KB\"; allowed: a size such as \"64KiB\" or \"10MiB\""},
    {"[limits]\nupload_min_rate = -1", "2: limits.upload_min_rate", "found -1; allowed: a size"},
    {"[limits]\ndownload_min_rate = \"fast\"", "2: limits.download_min_rate",
     "found \"fast\"; allowed: a size such as \"64KiB\" or \"10MiB\""},
    {"[rate_limit]\nexempt = [\"localhost\"]", "2: rate_limit.exempt", "found \"localhost\""},
    {"[users]\nmetadata_ttl = \"never\"", "2: users.metadata_ttl", ", or \"off\""},
    {"[log]\nlevel = \"debgu\"", "2: log.level",
     "found \"debgu\"; allowed: \"trace\", \"debug\", \"info\", \"warn\", \"error\""},
    {"[log]\nformat = \"xml\"", "2: log.format", "allowed: \"text\", \"json\", \"combined\""},
    {"[log]\nclient_ip = \"on\"", "2: log.client_ip", "allowed: \"off\", \"masked\", \"full\""},
    {"[sites.\"a..b\"]\nroot = \"/r\"", "1: sites.\"a..b\"",
     "found \"a..b\"; allowed: a host name"},
    {"[sites.a]\nroot = \"/r\"\naliases = [\"b:1965\"]", "3: sites.a.aliases",
     "found \"b:1965\"; allowed: a host name"},
    {"[sites.a]\nroot = \"/r\"\nlang = \"e n\"", "3: sites.a.lang",
     "found \"e n\"; allowed: language tags"},
    {"[sites.a]\nroot = \"/r\"\ncharset = \"x; y\"", "3: sites.a.charset",
     "found \"x; y\"; allowed: a name"},
    {"[sites.a]\nroot = \"/r\"\nsymlinks = \"no\"", "3: sites.a.symlinks",
     "allowed: \"deny\", \"inside\", \"follow\""},
    {"[sites.a.\"/\"]\nmodule = \"reply\"\nstatus = 200", "3: sites.a.\"/\".status",
     "found 200; allowed: 10 to 99"},
};

const std::string kReply = "]\nmodule = \"reply\"\nstatus = 52\n";

const Bad kBadPaths[] = {
    {"[sites.a.\"//\"" + kReply, "1: sites.a.\"//\"",
     "must not have empty, \".\" or \"..\" segments"},
    {"[sites.a.\"/a//b\"" + kReply, "1: sites.a.\"/a//b\"", "must not have empty"},
    {"[sites.a.\"/a//\"" + kReply, "1: sites.a.\"/a//\"", "must not have empty"},
    {"[sites.a.\"/./b\"" + kReply, "1: sites.a.\"/./b\"", "must not have empty"},
    {"[sites.a.\"/a/..\"" + kReply, "1: sites.a.\"/a/..\"", "must not have empty"},
    {"[sites.a.\"/a/../\"" + kReply, "1: sites.a.\"/a/../\"", "must not have empty"},
    {"[sites.a.\"/x\"" + kReply + "[sites.a.\"/x/\"" + kReply, "4: sites.a.\"/x/\"",
     "the same path as /etc/egalaxyd/egalaxyd.toml:1: sites.a.\"/x\""},
    {"[sites.a]\nroot = \"/r\"\n[sites.a.\"/x\"" + kReply, "2: sites.a.root",
     "stands beside paths; set it in [sites.a.\"/\"], with module = \"directory\""},
};

INSTANTIATE_TEST_SUITE_P(Names, ConfigLoaderRefuses, testing::ValuesIn(kBadNames));
INSTANTIATE_TEST_SUITE_P(Types, ConfigLoaderRefuses, testing::ValuesIn(kBadTypes));
INSTANTIATE_TEST_SUITE_P(Values, ConfigLoaderRefuses, testing::ValuesIn(kBadValues));
INSTANTIATE_TEST_SUITE_P(Paths, ConfigLoaderRefuses, testing::ValuesIn(kBadPaths));

TEST(ConfigLoader, KeepsTheDefaultOfAKeyThatItRefuses) {
  const LoadedConfig loaded = load("[limits]\nconnections = \"x\"\nwrite_timeout = \"1s\"");
  EXPECT_EQ(loaded.config.limits.connections, LimitsConfig{}.connections);
  EXPECT_EQ(loaded.config.limits.writeTimeout, milliseconds(1'000));
}

TEST(ConfigLoader, SparesTheMachineItselfFromTheRateLimitUnlessToldOtherwise) {
  const auto exempt = load("").config.rateLimit.exempt;
  const auto isExempt = [&](const char* address) {
    return std::ranges::any_of(
        exempt, [&](const Cidr& each) { return each.contains(*IpAddress::parse(address)); });
  };
  for (const char* own : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(isExempt(own)) << own;
  }
  for (const char* other : {"128.0.0.1", "10.0.0.1", "::2", "::", "0.0.0.0", "fe80::1"}) {
    EXPECT_FALSE(isExempt(other)) << other;
  }
  EXPECT_THAT(load("rate_limit.exempt = []").config.rateLimit.exempt, IsEmpty());
}

TEST(ConfigLoader, CollectsAllComplaintsInTheOrderOfTheFile) {
  EXPECT_THAT(load(R"([log]
level = 1
[server]
wrokers = 2
sandbox = "x"
[sites."-a"]
foo = 1
[sites.b."/"]
module = "x"
[bar]
)")
                  .complaints,
              ElementsAre(complaint("2: log.level", "expected a string"),
                          complaint("4: server.wrokers", "did you mean \"workers\""),
                          complaint("5: server.sandbox", "found \"x\""),
                          complaint("6: sites.-a", "allowed: a host name"),
                          complaint("7: sites.-a.foo", "unknown key"),
                          complaint("9: sites.b.\"/\".module", "found \"x\""),
                          complaint("10: bar", "unknown key")));
}

TEST(ConfigLoader, NamesTheLineAndTheKeyOfASyntaxError) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"[server]\nworkers = \n", "has no value"},
      {"[server]\nworkers 4\n", "write workers = 4"},
      {"[server]\nworkers = 1 2\n", "found \"1 2\"; allowed: \"auto\" or 1 to 128"}};
  for (const auto& [toml, text] : cases) {
    EXPECT_THAT(load(toml).complaints,
                ElementsAre(complaint("2: server.workers", std::string(text))))
        << toml;
  }
  EXPECT_THAT(load("[server]\nuser = \"x\n").complaints,
              ElementsAre(complaint("2: server.user", "write user = \"x\"")));
  EXPECT_THAT(load("[server]\nworkers = 1\nworkers = 2\n").complaints,
              ElementsAre(complaint("3: server.workers", "is set twice; it stands in line 2 too")));
  EXPECT_THAT(load("a = \"\xff\"").complaints, ElementsAre(complaint("1", "which is not UTF-8")));
  EXPECT_THAT(load("[server]\n?!\n").complaints, ElementsAre(complaint("2", "not valid TOML: ")));
}

TEST(ConfigLoader, ReadsAFile) {
  const TempDir dir;
  const auto file = dir.write("e.toml", "[sites.localhost]\nroot = \"capsule\"\n");
  const LoadedConfig loaded = loadConfig(file);
  EXPECT_THAT(loaded.complaints, IsEmpty());
  EXPECT_EQ(loaded.config.file, file);
  EXPECT_EQ(only<DirectoryArgs>(loaded.config).root, dir / "capsule");
  EXPECT_THAT(loadConfig(dir.write("empty.toml", "")).complaints, IsEmpty());
}

TEST(ConfigLoader, SaysWhyAFileCannotBeRead) {
  const TempDir dir;
  const auto missing = dir / "none.toml";
  EXPECT_THAT(
      loadConfig(missing).complaints,
      ElementsAre(AllOf(Field(&Complaint::where, missing.string()),
                        Field(&Complaint::text, "cannot be read: No such file or directory"))));
  EXPECT_THAT(loadConfig(dir.path()).complaints,
              ElementsAre(Field(&Complaint::text, "is a folder, not a regular file")));
}

TEST(ListenAddress, IsReadAndWritten) {
  const struct {
    std::string_view text, host;
    std::uint16_t port;
  } cases[] = {{":1965", "", 1965},
               {":0", "", 0},
               {"127.0.0.1:300", "127.0.0.1", 300},
               {"[::1]:65535", "::1", 65535},
               {"example.org:1", "example.org", 1}};
  for (const auto& c : cases) {
    const auto parsed = parseListenAddress(c.text);
    ASSERT_TRUE(parsed) << c.text;
    EXPECT_EQ(*parsed, (ListenAddress{std::string(c.host), c.port}));
    EXPECT_EQ(parsed->text(), c.text);
  }
}

TEST(ListenAddress, RefusesWhatNamesNoPortOrHost) {
  for (const std::string_view text :
       {"",     ":",      "1965",  "example.org",  ":65536", ":-1",       ":+1",           ":1x",
        ": 1",  "*:1965", "*.a:1", "::1:1965",     "[::1]",  "[::1]1965", "[127.0.0.1]:1", "[a]:1",
        "[]:1", "a b:1",  "a:1:2", "gemini://a:1", "off"}) {
    EXPECT_EQ(parseListenAddress(text), std::nullopt) << text;
  }
}

TEST(LogLevelName, IsOneOfFive) {
  EXPECT_EQ(parseLogLevel("warn"), LogLevel::kWarn);
  EXPECT_EQ(parseLogLevel("WARN"), std::nullopt);
  EXPECT_EQ(parseLogLevel(""), std::nullopt);
}

TEST(SiteHost, IsBroughtIntoItsNormalForm) {
  const struct {
    std::string_view text, expected;
  } cases[] = {
      {"Example.ORG", "example.org"},     {"*", "*"},
      {"*.Example.org", "*.example.org"}, {"localhost", "localhost"},
      {"my_host-1", "my_host-1"},         {"xn--bcher-kva.example", "xn--bcher-kva.example"},
      {"192.0.2.1", "192.0.2.1"},         {"[::1]", "::1"},
      {"2001:DB8:0::1", "2001:db8::1"}};
  for (const auto& c : cases) EXPECT_EQ(parseSiteHost(c.text), c.expected) << c.text;
}

TEST(SiteHost, RefusesWhatIsNone) {
  const std::string longLabel(64, 'a');
  const std::string longName = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                               std::string(63, 'c') + "." + std::string(63, 'd');
  for (const std::string& text : {std::string(""),
                                  std::string("."),
                                  std::string("a."),
                                  std::string(".a"),
                                  std::string("a..b"),
                                  std::string("-a"),
                                  std::string("a-"),
                                  std::string("a b"),
                                  std::string("a/b"),
                                  std::string("a:1"),
                                  std::string("**"),
                                  std::string("*."),
                                  std::string("*a"),
                                  std::string("a.*"),
                                  std::string("*.*.a"),
                                  std::string("bücher.example"),
                                  std::string("a\0b", 3),
                                  std::string("[a]"),
                                  longLabel,
                                  longName}) {
    EXPECT_EQ(parseSiteHost(text), std::nullopt) << text;
  }
}

// ---- examples and dumps ----------------------------------------------------------------------

const std::filesystem::path kExamples = std::filesystem::path(EGALAXYD_SOURCE_DIR) / "examples";

Config example(const char* name) {
  LoadedConfig loaded = loadConfig(kExamples / name);
  addComplaints(loaded.complaints, checkConfig(loaded.config));
  for (const Complaint& complaint : loaded.complaints) {
    ADD_FAILURE() << complaint.where << ": " << complaint.text;
  }
  return std::move(loaded.config);
}

TEST(ExampleMinimal, ServesOneFolder) {
  const Config config = example("minimal.toml");
  ASSERT_EQ(config.sites.size(), 1U);
  EXPECT_TRUE(std::filesystem::is_directory(only<DirectoryArgs>(config).root));
}

TEST(ExampleEverything, SetsEveryKey) {
  const Config config = example("everything.toml");
  // Each line of a dump that sets a key has its key in the file: none was forgotten.
  std::string table;
  std::istringstream dump(dumpConfig(config));
  for (std::string line; std::getline(dump, line);) {
    if (line.starts_with('[')) table = line.substr(1, line.size() - 2);
    const std::size_t equals = line.find(" = ");
    // The last two sites are there to show their shape.
    const bool isShort = table.starts_with("sites.\"*");
    if (equals == std::string::npos || line.starts_with('[') || isShort) continue;
    const std::string key = table + "." + line.substr(0, equals);
    EXPECT_TRUE(config.lines.count(key) != 0) << key;
  }
}

TEST(ManualPage, DescribesEveryKey) {
  std::ifstream page(kExamples / "../common/egalaxyd.toml.5");
  const std::string manual{std::istreambuf_iterator<char>(page), {}};
  std::istringstream dump(dumpConfig(example("everything.toml")));
  for (std::string line; std::getline(dump, line);) {
    const std::size_t equals = line.find(" = ");
    if (equals == std::string::npos || line.starts_with('[')) continue;
    EXPECT_THAT(manual, HasSubstr("\n.It Ic " + line.substr(0, equals) + " "));
  }
}

TEST(ExampleEverything, ShowsTheDefaultsAboveItsSites) {
  Config config = example("everything.toml");
  config.sites.clear();
  expectSame(config, Config{});
}

TEST(ConfigDump, TellsWhetherThereIsAStatusTokenAndNotWhich) {
  EXPECT_THAT(dumpConfig(Config{}), HasSubstr("[status]\nlisten = []\ntoken = \"\"\n"));
  const std::string digits(64, 'a');
  const std::string dump = dumpConfig(good("status.token = \"sha256:" + digits + "\""));
  EXPECT_THAT(dump, HasSubstr("token = \"(masked)\""));
  EXPECT_THAT(dump, Not(HasSubstr(digits)));
}

TEST(ConfigDump, LoadsBackToTheSameConfiguration) {
  for (const Config& config :
       {Config{}, example("everything.toml"), example("minimal.toml"), good(R"(
[server]
workers = 3
user = "quote \" backslash \\ tab \t newline \n bell \u0007 ü"
[listen]
gemini = []
spartan = ["[::1]:0", "a.b:1"]
public_ports = [1, 2]
[limits]
upload_min_rate = 1000
download_min_rate = "off"
handshake_timeout = "1500ms"
[users]
metadata_ttl = "off"
[log]
target = "x.log"
[sites."::1"]
root = "r"
[sites."a.b"."/x y/ü"]
module = "directory"
root = "r"
mime = { ".a b" = "a/b" }
[sites.h."/area"]
module = "authenticated"
fingerprints = ["sha256:)" + std::string(64, 'F') + R"("]
[sites.h."/area".sites."/x"]
module = "input"
sites."/".module = "spy"
[sites.h."/area".sites."/y"]
module = "file"
path = "p"
cache = "forever"
[[sites.h.redirects]]
from = '^/log/(\d+)$'
to = "/gemlog/$1"
[[sites.h.redirects]]
from = "^/\"x\""
to = "gemini://b/"
permanent = true
[sites.h."/d"]
module = "directory"
root = "r"
sidecar = ".molly"
files = { "notes/**/*.txt" = { mime = "text/gemini", lang = "de" }, "a b" = { charset = "x" } }
upload.anyone = true
[sites.h."/p"]
module = "plugin"
library = "l"
class = "C")")}) {
    const std::string dump = dumpConfig(config);
    const LoadedConfig again = load(dump);
    EXPECT_THAT(again.complaints, IsEmpty()) << dump;
    expectSame(config, again.config);
    EXPECT_EQ(dumpConfig(again.config), dump);
  }
}

TEST(ConfigLoader, NamesTheRedirectAndTheLine) {
  const auto complaintsOf = [](const std::string& toml) { return load(toml).complaints; };
  const auto says = [](const std::string& where, const std::string& text) {
    return testing::AllOf(testing::Field(&Complaint::where, testing::EndsWith(where)),
                          testing::Field(&Complaint::text, HasSubstr(text)));
  };
  const std::string site = "[sites.h]\nroot = \"r\"\n";
  EXPECT_THAT(complaintsOf(site + "[sites.h.redirects]\nfrom = \"a\""),
              testing::ElementsAre(says(":3: sites.h.redirects", "write [[sites.h.redirects]]")));
  EXPECT_THAT(complaintsOf(site + "[[sites.h.redirects]]\nfrom = 1\nfrm = \"a\""),
              testing::ElementsAre(says(":4: sites.h.redirects[1].from", "expected a string"),
                                   says(":5: sites.h.redirects[1].frm", "did you mean \"from\"?")));
  EXPECT_THAT(complaintsOf(site + "redirects = [1]"),
              testing::ElementsAre(says(":3: sites.h.redirects[1]", "expected a table")));
  EXPECT_THAT(complaintsOf(site + "files = { \"*.x\" = \"a/b\" }"),
              testing::ElementsAre(says(":3: sites.h.files.\"*.x\"", "expected a table")));
  EXPECT_THAT(complaintsOf(site + "sidecar = \".mta\""),
              testing::ElementsAre(says(":3: sites.h.sidecar", "did you mean \".meta\"?")));
}

TEST(ConfigDump, MasksWhatMayBeSecret) {
  const std::string digest(64, 'f');
  const std::string dump = dumpConfig(good(R"(
[sites.h."/up"]
module = "directory"
root = "r"
upload = { tokens = ["sha256:)" + digest + R"(", "sha256:)" +
                                           digest + R"("] }
[sites.h."/p"]
module = "plugin"
library = "l"
class = "C"
args = { password = "hunter2" })"));
  EXPECT_THAT(dump, HasSubstr("tokens = [\"(masked)\", \"(masked)\"]\n"));
  EXPECT_THAT(dump, HasSubstr("args = \"(masked)\"\n"));
  EXPECT_THAT(dump, testing::Not(HasSubstr(digest)));
  EXPECT_THAT(dump, testing::Not(HasSubstr("hunter2")));
  EXPECT_EQ(load(dump).complaints.size(), 2U) << "it must not pass for the configuration";
}

TEST(ConfigDump, WritesKeysInTheOrderOfTheManual) {
  EXPECT_THAT(dumpConfig(Config{}), testing::StartsWith(R"([server]
workers = "auto"
user = ""
group = ""
state_dir = ""
runtime_dir = ""
drain_timeout = "30s"
sandbox = "auto"

[listen]
gemini = [":1965"]
titan = []
spartan = [":3000"]
)"));
}

TEST(ConfigDump, WritesAShorthandInFull) {
  EXPECT_THAT(dumpConfig(good("[sites.\"a.b\"]\nroot = \"/r\"\n")), HasSubstr(R"(
[sites."a.b"."/"]
module = "directory"
root = "/r"
)"));
}

TEST(ConfigLoader, ReadsWhatUploadsMayTake) {
  const auto uploadOf = [](const std::string& keys) {
    const Config config =
        good("[sites.a.\"/\"]\nmodule = \"directory\"\nroot = \"/r\"\nupload = {anyone = true" +
             keys + "}");
    return *std::get<DirectoryArgs>(config.sites[0].mounts[0].args).upload;
  };
  UploadArgs defaults;
  defaults.anyone = true;
  EXPECT_EQ(uploadOf(""), defaults);
  EXPECT_EQ(UploadArgs{}.minFree, (FreeFloor{0, 1}));
  EXPECT_EQ(uploadOf(", min_free = \"20%\"").minFree, (FreeFloor{0, 20}));
  EXPECT_EQ(uploadOf(", min_free = \"1GiB\"").minFree, (FreeFloor{1U << 30, 0}));
  for (const char* off : {"\"0\"", "0", "\"0%\"", "\"0B\""}) {
    EXPECT_EQ(uploadOf(std::string(", min_free = ") + off).minFree, FreeFloor{}) << off;
  }
  const UploadArgs args = uploadOf(
      ", new_folders = 1, depth = 3, total_quota = \"1GiB\", files = 7, overwrite = \"own\"");
  EXPECT_EQ(args.newFolders, 1u);
  EXPECT_EQ(args.depth, 3u);
  EXPECT_EQ(args.totalQuota, std::uint64_t{1} << 30);
  EXPECT_EQ(args.files, 7u);
  EXPECT_EQ(args.overwrite, Overwrite::kOwn);
  EXPECT_EQ(uploadOf(", files = \"off\", total_quota = \"off\""), defaults);
}

}  // namespace
}  // namespace egalaxyd
