// The keys of scripts, applications and proxied capsules: reading, and dumping them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_dump.h"
#include "common/config/config_loader.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kMountHead = "[sites.a.\"/x\"]\n";

LoadedConfig loadProgram(const std::string& toml) { return parseConfig(toml, "/etc/e/e.toml"); }

template <class Args>
Args readProgram(const std::string& toml) {
  const LoadedConfig loaded = loadProgram(kMountHead + toml);
  for (const Complaint& complaint : loaded.complaints) {
    ADD_FAILURE() << complaint.where << ": " << complaint.text;
  }
  return std::get<Args>(loaded.config.sites.at(0).mounts.at(0).args);
}

TEST(DynamicKeys, OfTheWholeServer) {
  const LoadedConfig loaded = loadProgram(R"([dynamic]
requests = 100
requests_per_ip = 3
processes = 40
queue = 0
queue_timeout = "5s"
account = "scripts"
)");
  EXPECT_THAT(loaded.complaints, IsEmpty());
  EXPECT_EQ(loaded.config.dynamic, (DynamicConfig{.requests = 100,
                                                  .requestsPerIp = 3,
                                                  .processes = 40,
                                                  .queue = 0,
                                                  .queueTimeout = milliseconds(5'000),
                                                  .account = "scripts"}));
  const LoadedConfig automatic = loadProgram("dynamic.processes = \"auto\"");
  EXPECT_EQ(automatic.config.dynamic, DynamicConfig{});
}

TEST(DynamicKeys, OfScripts) {
  EXPECT_EQ(readProgram<CgiArgs>("module = \"cgi\""), CgiArgs{});
  const CgiArgs args = readProgram<CgiArgs>(R"(module = "cgi"
root = "bin"
index = ["start"]
symlinks = "deny"
hidden = true
style = "molly-brown"
env = { A = "1", b_2 = "" }
pass = ["TZ"]
cwd = "/srv"
account = "ann"
sensitive = true
header_timeout = "5s"
idle_timeout = "off"
timeout = "off"
processes = 3
cpu_time = "off"
)");
  CgiArgs expected;
  expected.root = "/etc/e/bin";
  expected.index = {"start"};
  expected.symlinks = SymlinkPolicy::kDeny;
  expected.hidden = true;
  expected.program.style = ScriptStyle::kMollyBrown;
  expected.program.env = {{"A", "1"}, {"b_2", ""}};
  expected.program.sensitive = true;
  expected.program.times = {milliseconds(5'000), std::nullopt, std::nullopt};
  expected.pass = {"TZ"};
  expected.cwd = "/srv";
  expected.account = "ann";
  expected.processes = 3;
  expected.cpuTime = std::nullopt;
  EXPECT_EQ(args, expected);
}

TEST(DynamicKeys, OfOneProgramForAll) {
  const CgiArgs args =
      readProgram<CgiArgs>("module = \"cgi\"\nscript = \"../bin/app\"\nargs = [\"-x\", \"\"]");
  EXPECT_EQ(args.script, "/etc/bin/app");
  EXPECT_THAT(args.args, ElementsAre("-x", ""));
  EXPECT_EQ(args.root, "");
}

TEST(DynamicKeys, OfTheStylesAreTheNamesOfServers) {
  const std::pair<const char*, ScriptStyle> styles[] = {{"jetforce", ScriptStyle::kJetforce},
                                                        {"gmid", ScriptStyle::kGmid},
                                                        {"molly-brown", ScriptStyle::kMollyBrown},
                                                        {"gmcapsule", ScriptStyle::kGmcapsule}};
  for (const auto& [name, style] : styles) {
    const auto text = "module = \"scgi\"\nstyle = \"" + std::string(name) + "\"";
    EXPECT_EQ(readProgram<ScgiArgs>(text).program.style, style) << name;
  }
}

TEST(DynamicKeys, OfUploadsToAProgram) {
  const std::string ann(64, 'a');
  const std::string people = "[people]\nann = \"SHA256:" + ann + "\"\n";
  const LoadedConfig loaded = loadProgram(people + R"([sites.a."/x"]
module = "cgi"
root = "/bin"
upload = { over = ["titan", "spartan"], fingerprints = ["@ann", "*"], anyone = true, max_size = 5, mime = ["a/b"], min_free = "2%", decides = "script", name_suffix = ",titan" }
[sites.a."/y"]
module = "fastcgi"
to = ["unix:/run/a"]
[sites.a."/y".upload]
tokens = { bob = "sha256:)" + ann + R"(" }
)");
  EXPECT_THAT(loaded.complaints, IsEmpty());
  const auto& mounts = loaded.config.sites.at(0).mounts;
  const ScriptUpload script = *std::get<CgiArgs>(mounts.at(0).args).upload;
  EXPECT_THAT(script.rules.over, ElementsAre(UploadProtocol::kTitan, UploadProtocol::kSpartan));
  EXPECT_THAT(script.rules.fingerprints, ElementsAre(ann, "*"));
  EXPECT_TRUE(script.rules.anyone);
  EXPECT_EQ(script.rules.maxSize, 5U);
  EXPECT_THAT(script.rules.mime, ElementsAre("a/b"));
  EXPECT_EQ(script.rules.minFree, (FreeFloor{0, 2}));
  EXPECT_TRUE(script.scriptDecides);
  EXPECT_EQ(script.nameSuffix, ",titan");
  const ProgramUpload program = *std::get<FastcgiArgs>(mounts.at(1).args).upload;
  EXPECT_THAT(program.rules.tokens, ElementsAre(TokenDigest{ann, "bob"}));
  EXPECT_FALSE(program.scriptDecides);
}

TEST(DynamicKeys, OfApplications) {
  const std::string keys = R"(connections = 8
connect_timeout = "1s"
retry_after = "2s"
timeout = "1h"
)";
  const ScgiArgs scgi = readProgram<ScgiArgs>(
      "module = \"scgi\"\nto = [\"unix:/run/a.sock\", \"127.0.0.1:4000\", \"[::1]:4000\", "
      "\"Name:4000\"]\n" +
      keys);
  EXPECT_THAT(scgi.upstream.to,
              ElementsAre("unix:/run/a.sock", "127.0.0.1:4000", "[::1]:4000", "name:4000"));
  EXPECT_EQ(scgi.upstream.connections, 8U);
  EXPECT_EQ(scgi.upstream.connectTimeout, milliseconds(1'000));
  EXPECT_EQ(scgi.upstream.retryAfter, milliseconds(2'000));
  EXPECT_EQ(scgi.program.times.whole, std::chrono::hours(1));
  const FastcgiArgs fastcgi = readProgram<FastcgiArgs>(
      "module = \"fastcgi\"\nto = [\"unix:/run/a.sock\"]\nkeep = 3\n"
      "script_filename = \"%root%%path%\"\nroot = \"www\"\n" +
      keys);
  EXPECT_EQ(fastcgi.keep, 3U);
  EXPECT_EQ(fastcgi.scriptFilename, "%root%%path%");
  EXPECT_EQ(fastcgi.root, "/etc/e/www");
}

TEST(DynamicKeys, OfAProxiedCapsule) {
  const ProxyArgs args = readProgram<ProxyArgs>(R"(module = "proxy"
to = ["gemini://127.0.0.1:1966", "gemini://b.example/", "[::1]:1", "gemini://[::1]", "unix:/run/c/"]
tls = false
host = "upstream"
strip = true
server_name = "c.example"
fingerprints = ["sha256:)" + std::string(64, 'F') +
                                                R"("]
ca = "ca.pem"
certificate = "c.pem"
key = "k.pem"
proxy_protocol = "v2"
titan = true
sensitive = true
header_timeout = "1s"
)");
  ProxyArgs expected;
  expected.upstream.to = {"127.0.0.1:1966", "b.example:1965", "[::1]:1", "[::1]:1965",
                          "unix:/run/c/"};
  expected.tls = false;
  expected.keepHost = false;
  expected.strip = true;
  expected.serverName = "c.example";
  expected.fingerprints = {std::string(64, 'f')};
  expected.ca = "/etc/e/ca.pem";
  expected.certificate = "/etc/e/c.pem";
  expected.key = "/etc/e/k.pem";
  expected.proxyProtocol = ProxyProtocol::kV2;
  expected.titan = true;
  expected.sensitive = true;
  expected.times.header = milliseconds(1'000);
  EXPECT_EQ(args, expected);
}

TEST(DynamicKeys, OfHomes) {
  EXPECT_EQ(readProgram<HomesArgs>("module = \"homes\""), HomesArgs{});
  HomesArgs expected;
  expected.root = "/etc/e/%user%/p";
  expected.users = {"alice"};
  expected.minUid = 500;
  expected.index = {"a"};
  expected.listing.emplace();
  expected.symlinks = SymlinkPolicy::kDeny;
  expected.charset = "utf-8";
  expected.lang = "de";
  expected.cgi = "bin";
  expected.asUser = false;
  expected.processes = 3;
  expected.socket = "%home%/s";
  expected.program.style = ScriptStyle::kGmid;
  expected.program.times.whole = milliseconds(9'000);
  EXPECT_EQ(readProgram<HomesArgs>(R"(module = "homes"
root = "%user%/p"
users = ["alice"]
min_uid = 500
index = ["a"]
listing = true
symlinks = "deny"
charset = "utf-8"
lang = "de"
cgi = "bin"
as = "server"
processes = 3
socket = "%home%/s"
style = "gmid"
timeout = "9s"
)"),
            expected);
}

TEST(DynamicKeys, HomesHaveTheLanguageOfTheirSite) {
  const LoadedConfig loaded =
      loadProgram("[sites.a]\nlang = \"fi\"\n[sites.a.\"/~\"]\nmodule = \"homes\"");
  EXPECT_EQ(std::get<HomesArgs>(loaded.config.sites.at(0).mounts.at(0).args).lang, "fi");
}

struct WrongKey {
  std::string toml;
  std::string said;  ///< the whole: where and text
};

class DynamicKeysRefuse : public testing::TestWithParam<WrongKey> {};

TEST_P(DynamicKeysRefuse, OneThingAndNothingElse) {
  const auto& [toml, said] = GetParam();
  const LoadedConfig loaded = loadProgram(toml);
  ASSERT_EQ(loaded.complaints.size(), 1U) << toml;
  EXPECT_EQ(loaded.complaints[0].where + ": " + loaded.complaints[0].text, "/etc/e/e.toml:" + said);
}

std::string wrongIn(std::string_view module, std::string_view keys) {
  return kMountHead + "module = \"" + std::string(module) + "\"\n" + std::string(keys);
}

const std::string kDuration = R"(a duration such as "250ms", "30s", "5m", "2h" or "7d")";
const std::string kX = "3: sites.a.\"/x\".";

const WrongKey kWrongKeys[] = {
    {"dynamic.procesess = 1", "1: dynamic.procesess: unknown key; did you mean \"processes\"?"},
    {"dynamic.processes = 0", "1: dynamic.processes: found 0; allowed: \"auto\" or 1 to 4096"},
    {"dynamic.requests = -1", "1: dynamic.requests: found -1; allowed: 0 to 1000000"},
    {"dynamic.queue_timeout = \"off\"",
     "1: dynamic.queue_timeout: found \"off\"; allowed: " + kDuration},
    {"dynamic.account = 5", "1: dynamic.account: expected a string, found an integer; write \"5\""},
    {wrongIn("cgi", "root = \"/a\\u0000\""), kX + "root: found \"/a\\u0000\"; allowed: a path"},
    {wrongIn("cgi", "env = [\"A=1\"]"),
     kX +
         "env: expected a table, found an array; write [sites.a.\"/x\".env] and its keys below it"},
    {wrongIn("cgi", "env = { A = 1 }"),
     kX + "env.A: expected a string, found an integer; write \"1\""},
    {wrongIn("cgi", "pass = \"TZ\""),
     kX + "pass: expected an array, found a string; write [\"TZ\"]"},
    {wrongIn("cgi", "style = \"mollybrown\""),
     kX + "style: found \"mollybrown\"; allowed: \"jetforce\", \"gmid\", \"molly-brown\", "
          "\"gmcapsule\"; did you mean \"molly-brown\"?"},
    {wrongIn("cgi", "header_timeout = \"off\""),
     kX + "header_timeout: found \"off\"; allowed: " + kDuration},
    {wrongIn("cgi", "timeout = 5"), kX + "timeout: expected a string, found an integer; allowed: " +
                                        kDuration + ", or \"off\"; write \"5s\""},
    {wrongIn("cgi", "processes = \"many\""),
     kX + "processes: found \"many\"; allowed: \"auto\" or 1 to 4096"},
    {wrongIn("cgi", "upload = { delete = true }"),
     kX + "upload.delete: unknown key; allowed: \"over\", \"fingerprints\", \"tokens\", "
          "\"anyone\", \"max_size\", \"mime\", \"min_free\", \"decides\", \"name_suffix\""},
    {wrongIn("scgi", "upload = { name_suffix = \"x\" }"),
     kX + "upload.name_suffix: unknown key; allowed: \"over\", \"fingerprints\", \"tokens\", "
          "\"anyone\", \"max_size\", \"mime\", \"min_free\", \"decides\""},
    {wrongIn("cgi", "upload = { decides = \"scripts\" }"),
     kX + "upload.decides: found \"scripts\"; allowed: \"server\", \"script\"; did you mean "
          "\"script\"?"},
    {wrongIn("cgi", "upload = { fingerprints = [\"@ann\"] }"),
     kX + "upload.fingerprints: nobody in [people] is \"ann\"; write below it ann = \"SHA256:…\""},
    {wrongIn("scgi", "to = \"unix:/run/a\""),
     kX + "to: expected an array, found a string; write [\"unix:/run/a\"]"},
    {wrongIn("scgi", "to = 4000"),
     kX + "to: expected an array, found an integer; write for example [\"unix:/run/app.sock\"]"},
    {wrongIn("scgi", "to = [\"unix:run/a\"]"),
     kX + "to: found \"unix:run/a\"; allowed: \"unix:/run/app.sock\", \"127.0.0.1:4000\", "
          "\"[::1]:4000\" or \"name:4000\""},
    {wrongIn("fastcgi", "to = [\"localhost\"]"),
     kX + "to: found \"localhost\"; allowed: \"unix:/run/app.sock\", \"127.0.0.1:4000\", "
          "\"[::1]:4000\" or \"name:4000\""},
    {wrongIn("fastcgi", "keep = true"),
     kX + "keep: expected an integer, found a boolean; allowed: 0 to 1000000"},
    {wrongIn("proxy", "to = [\"https://a\"]"),
     kX + "to: found \"https://a\"; allowed: \"gemini://127.0.0.1:1966\", \"gemini://name\" or "
          "\"unix:/path\""},
    {wrongIn("proxy", "to = [\"gemini://a/b\"]"),
     kX + "to: found \"gemini://a/b\"; allowed: \"gemini://127.0.0.1:1966\", \"gemini://name\" or "
          "\"unix:/path\""},
    {wrongIn("proxy", "host = \"kept\""),
     kX + "host: found \"kept\"; allowed: \"keep\", \"upstream\""},
    {wrongIn("proxy", "proxy_protocol = true"),
     kX + "proxy_protocol: expected a string, found a boolean; allowed: \"off\", \"v1\", \"v2\""},
    {wrongIn("proxy", "fingerprints = [\"secret\"]"),
     kX + "fingerprints: found something else; allowed: the SHA-256 of a certificate or of its "
          "public key: \"SHA256:\" and 64 hex digits"},
};

INSTANTIATE_TEST_SUITE_P(Each, DynamicKeysRefuse, testing::ValuesIn(kWrongKeys));

const std::string kAllPrograms = R"([dynamic]
requests = 100
account = "scripts"
[people]
ann = "SHA256:)" + std::string(64, 'a') +
                                 R"("
[sites.a."/one"]
module = "cgi"
script = "/bin/app"
args = ["-a b", "\"c\""]
cwd = "/srv"
style = "gmcapsule"
upload = { fingerprints = ["@ann"], name_suffix = ",titan" }
[sites.a."/folder"]
module = "cgi"
root = "/srv/bin"
processes = 4
cpu_time = "off"
[sites.a."/app"]
module = "scgi"
to = ["unix:/run/a.sock"]
upload = { anyone = true, over = ["titan", "spartan"] }
[sites.a."/php"]
module = "fastcgi"
to = ["[::1]:9000"]
root = "/srv/php"
script_filename = "%root%/index.php"
[sites.a."/old"]
module = "proxy"
to = ["gemini://b.example"]
ca = "/etc/ca.pem"
proxy_protocol = "v1"
timeout = "off"
)";

TEST(DynamicKeys, ThatAreDumpedLoadBack) {
  const LoadedConfig loaded = loadProgram(kAllPrograms);
  EXPECT_THAT(loaded.complaints, IsEmpty());
  const std::string dump = dumpConfig(loaded.config);
  const LoadedConfig again = loadProgram(dump);
  EXPECT_THAT(again.complaints, IsEmpty()) << dump;
  EXPECT_EQ(again.config.dynamic, loaded.config.dynamic);
  EXPECT_EQ(again.config.sites.at(0).mounts, loaded.config.sites.at(0).mounts);
  EXPECT_EQ(dumpConfig(again.config), dump);
  EXPECT_THAT(dump, HasSubstr("fingerprints = [\"@ann\"]"));
  EXPECT_THAT(dump, HasSubstr("\nto = [\"b.example:1965\"]\n"));
}

TEST(DynamicKeys, ThatAreDumpedDoNotTellVariablesAndTokens) {
  const std::string digest(64, 'f');
  const std::string dump = dumpConfig(loadProgram(kMountHead + R"(module = "cgi"
root = "/bin"
env = { PASSWORD = "hunter2" }
upload = { tokens = ["sha256:)" + digest + R"("] }
)")
                                          .config);
  EXPECT_THAT(dump, HasSubstr("env = \"(masked)\"\n"));
  EXPECT_THAT(dump, HasSubstr("tokens = [\"(masked)\"]\n"));
  EXPECT_THAT(dump, Not(HasSubstr("hunter2")));
  EXPECT_THAT(dump, Not(HasSubstr(digest)));
}

/// The keys that the manual describes under a heading, up to the next one.
std::vector<std::string> keysUnder(const std::string& manual, const std::string& heading) {
  std::vector<std::string> keys;
  const std::size_t begin = manual.find("\n.Ss " + heading + "\n");
  if (begin == std::string::npos) return keys;
  std::istringstream lines(manual.substr(begin, manual.find("\n.Ss ", begin + 1) - begin));
  constexpr std::string_view kItem = ".It Ic ";
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kItem)) continue;
    line.erase(0, kItem.size());
    keys.push_back(line.substr(0, line.find(' ')));
  }
  return keys;
}

TEST(ManualPage, DescribesNoKeyThatThereIsNot) {
  std::ifstream page(std::filesystem::path(EGALAXYD_SOURCE_DIR) / "common/egalaxyd.toml.5");
  const std::string manual{std::istreambuf_iterator<char>(page), {}};
  for (const std::string module : {"cgi", "scgi", "fastcgi", "proxy", "homes"}) {
    const auto keys = keysUnder(manual, "module = \\(dq" + module + "\\(dq");
    EXPECT_GT(keys.size(), 2U) << module;
    for (const std::string& key : keys) {
      // A value that no key has: known keys say what they want, unknown ones that they are none.
      const LoadedConfig loaded = loadProgram(wrongIn(module, key + " = 1.5"));
      ASSERT_EQ(loaded.complaints.size(), 1U) << key;
      EXPECT_THAT(loaded.complaints[0].text, HasSubstr("found a float")) << module << " " << key;
    }
  }
  const auto keys = keysUnder(manual, "[dynamic]");
  EXPECT_EQ(keys.size(), 6U);
  for (const std::string& key : keys) {
    const LoadedConfig loaded = loadProgram("dynamic." + key + " = 1.5");
    ASSERT_EQ(loaded.complaints.size(), 1U) << key;
    EXPECT_THAT(loaded.complaints[0].text, HasSubstr("found a float")) << key;
  }
}

}  // namespace
}  // namespace egalaxyd
