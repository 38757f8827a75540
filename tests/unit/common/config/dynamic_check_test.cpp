#include "common/config/dynamic_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_check.h"
#include "common/config/config_loader.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// What all rules say of a text that can be read, "WHERE: TEXT" for each.
std::vector<std::string> saidOf(const std::string& toml) {
  LoadedConfig loaded = parseConfig(toml, "e.toml");
  EXPECT_THAT(loaded.complaints, IsEmpty()) << toml;
  if (loaded.config.sites.empty()) {  // not what this is about
    loaded.config.sites = parseConfig("[sites.other]\nroot = \"/\"", "").config.sites;
  }
  std::vector<std::string> said;
  for (const Complaint& complaint : checkConfig(loaded.config)) {
    said.push_back(complaint.where + ": " + complaint.text);
  }
  return said;
}

std::string programAt(std::string_view module, std::string_view keys) {
  return "[sites.a.\"/x\"]\nmodule = \"" + std::string(module) + "\"\n" + std::string(keys);
}
std::string scriptsWith(std::string_view keys) {
  return programAt("cgi", "root = \"/bin\"\n" + std::string(keys));
}
std::string applicationWith(std::string_view keys) {
  return programAt("fastcgi", "to = [\"unix:/run/a\"]\n" + std::string(keys));
}
std::string proxyWith(std::string_view keys) {
  return programAt("proxy", "to = [\"[::1]:1966\"]\n" + std::string(keys));
}

std::string homesWith(std::string_view keys) {
  return "[sites.a.\"/~\"]\nmodule = \"homes\"\n" + std::string(keys);
}
std::string userHomesWith(std::string_view keys) {
  return homesWith("root = \"/home/%user%/p\"\n" + std::string(keys));
}

struct BadProgram {
  std::string toml;
  std::string said;
};

class DynamicCheckRefuses : public testing::TestWithParam<BadProgram> {};

TEST_P(DynamicCheckRefuses, OneThingAndNothingElse) {
  const auto& [toml, said] = GetParam();
  EXPECT_THAT(saidOf(toml), ElementsAre("e.toml:" + said)) << toml;
}

const std::string kTable = "1: sites.a.\"/x\": ";
const std::string kThird = "3: sites.a.\"/x\".";
const std::string kFourth = "4: sites.a.\"/x\".";
const std::string kNoName =
    "is no name of a variable; allowed: letters, digits and \"_\", no digit in front";
const std::string kLoader =
    "makes the loader run other code; allowed: names without LD_ and GLIBC_ in front";

const BadProgram kShared[] = {
    {"dynamic.requests = 0", "1: dynamic.requests: found 0; allowed: more than 0"},
    {"dynamic.requests_per_ip = 0", "1: dynamic.requests_per_ip: found 0; allowed: more than 0"},
    {"dynamic.queue_timeout = \"0s\"",
     "1: dynamic.queue_timeout: found \"0s\"; allowed: more than 0"},
};

const BadProgram kScripts[] = {
    {programAt("cgi", ""),
     kTable + "root is missing or empty; allowed: a folder of scripts, or script, one program for "
              "all"},
    {programAt("cgi", "root = \"\""),
     kThird + "root: is missing or empty; allowed: a folder of scripts, or script, one program for "
              "all"},
    {scriptsWith("script = \"/bin/a\""),
     kFourth + "script: stands beside root; allowed: one of them, a folder of scripts or one "
               "program for all"},
    {scriptsWith("args = [\"a\"]"), kFourth + "args: are those of script, which is not set"},
    {scriptsWith("index = [\"a/b\"]"), kFourth + "index: found \"a/b\"; allowed: names of files"},
    {scriptsWith("env = { \"1A\" = \"\" }"), kFourth + "env.1A: " + kNoName},
    {scriptsWith("env = { \"A=B\" = \"\" }"), kFourth + "env.\"A=B\": " + kNoName},
    {scriptsWith("env = { \"\" = \"\" }"), kFourth + "env.\"\": " + kNoName},
    {scriptsWith("env = { A = \"a\\u0000\" }"),
     kFourth + "env.A: found a zero byte; allowed: text without"},
    {scriptsWith("env = { QUERY_STRING = \"a\" }"),
     kFourth + "env.QUERY_STRING: is a variable that the server sets for each request; allowed: "
               "other names"},
    {scriptsWith("env = { TLS_CLIENT_ANYTHING = \"a\" }"),
     kFourth + "env.TLS_CLIENT_ANYTHING: is a variable that the server sets for each request; "
               "allowed: other names"},
    {scriptsWith("[sites.a.\"/x\".env]\nPATH = \"/bin\""),
     "5: sites.a.\"/x\".env.PATH: is a variable that the server sets for the script's account; "
     "allowed: other names"},
    {scriptsWith("env = { LD_PRELOAD = \"a\" }"), kFourth + "env.LD_PRELOAD: " + kLoader},
    {scriptsWith("pass = [\"TZ\", \"GLIBC_TUNABLES\"]"),
     kFourth + "pass: found \"GLIBC_TUNABLES\", which " + kLoader},
    {scriptsWith("pass = [\"A B\"]"), kFourth + "pass: found \"A B\", which " + kNoName},
    {scriptsWith("pass = [\"HOME\"]"),
     kFourth + "pass: found \"HOME\", which is a variable that the server sets for the script's "
               "account; allowed: other names"},
    {scriptsWith("header_timeout = \"3m\""),
     kFourth + "header_timeout: a header may take \"3m\", and the whole no more than \"2m\"; "
               "allowed: a header_timeout that is not longer than timeout"},
    {scriptsWith("timeout = \"10s\""),
     kFourth + "timeout: a header may take \"20s\", and the whole no more than \"10s\"; allowed: "
               "a header_timeout that is not longer than timeout"},
    {scriptsWith("header_timeout = \"0s\""),
     kFourth + "header_timeout: found \"0s\"; allowed: more than 0"},
    {scriptsWith("idle_timeout = \"0s\""),
     kFourth + "idle_timeout: found \"0s\"; allowed: more than 0, or \"off\""},
    {scriptsWith("timeout = \"0s\""),
     kFourth + "timeout: found \"0s\"; allowed: more than 0, or \"off\""},
    {scriptsWith("cpu_time = \"500ms\""),
     kFourth + "cpu_time: found \"500ms\"; allowed: \"1s\" or more, or \"off\""},
    {scriptsWith("processes = 9\n[dynamic]\nprocesses = 8"),
     kFourth + "processes: found 9; allowed: at most the 8 that dynamic.processes lets run"},
    {scriptsWith("upload = { anyone = true, name_suffix = \"/titan\" }"),
     kFourth + "upload.name_suffix: allowed: the end of a file's name, such as \",titan\""},
};

const BadProgram kUploads[] = {
    {scriptsWith("upload = {}"),
     kFourth + "upload: lets nobody write; set fingerprints, tokens (\"egalaxyctl token\" makes "
               "one) or anyone = true or decides = \"script\""},
    {scriptsWith("upload = { fingerprints = [\"*\"], over = [\"spartan\"] }"),
     kFourth + "upload.over: found \"spartan\", which knows neither certificates nor tokens; it "
               "needs anyone = true or decides = \"script\""},
    {applicationWith("upload = { decides = \"script\", over = [] }"),
     kFourth + "upload.over: is empty; allowed: \"titan\", \"spartan\""},
    {applicationWith("upload = { decides = \"script\", max_size = 0 }"),
     kFourth + "upload.max_size: found 0; allowed: more than 0"},
    {applicationWith("upload = { decides = \"script\", mime = [\"text\"] }"),
     kFourth + "upload.mime: found \"text\"; allowed: a media type such as \"text/plain\", or "
               "\"text/*\""},
    {programAt("scgi", "to = [\"unix:/run/a\"]\nupload = {}"),
     kFourth + "upload: lets nobody write; set fingerprints, tokens (\"egalaxyctl token\" makes "
               "one) or anyone = true or decides = \"script\""},
};

const BadProgram kApplications[] = {
    {programAt("scgi", ""), kTable + "to is missing or empty; allowed: one address or several"},
    {programAt("fastcgi", "to = []"),
     kThird + "to: is missing or empty; allowed: one address or several"},
    {applicationWith("connections = 0"), kFourth + "connections: found 0; allowed: more than 0"},
    {applicationWith("connect_timeout = \"0s\""),
     kFourth + "connect_timeout: found \"0s\"; allowed: more than 0"},
    {applicationWith("retry_after = \"0s\""),
     kFourth + "retry_after: found \"0s\"; allowed: more than 0"},
    {applicationWith("env = { SCGI = \"1\" }"),
     kFourth + "env.SCGI: is a variable that the server sets for each request; allowed: other "
               "names"},
    {applicationWith("script_filename = \"/srv%pth%\""),
     kFourth + "script_filename: found \"%pth%\"; allowed: %root% and %path%"},
    {applicationWith("script_filename = \"/srv%\""),
     kFourth + "script_filename: found \"%\"; allowed: %root% and %path%"},
    {applicationWith("script_filename = \"%root%/a\""),
     kFourth + "script_filename: found \"%root%\", but root is not set"},
    {programAt("scgi", "to = [\"127.0.0.1:1965\"]"),
     kThird + "to: found \"127.0.0.1:1965\", where this server listens itself: listen.gemini"},
    {programAt("scgi", "to = [\"localhost:3000\"]"),
     kThird + "to: found \"localhost:3000\", where this server listens itself: listen.spartan"},
    {programAt("fastcgi", "to = [\"192.0.2.1:7\"]\n[listen]\ntitan = [\"192.0.2.1:7\"]"),
     kThird + "to: found \"192.0.2.1:7\", where this server listens itself: listen.titan"},
    {programAt("scgi", "to = [\"[::1]:7\"]\n[status]\nlisten = [\"127.0.0.1:7\"]"),
     kThird + "to: found \"[::1]:7\", where this server listens itself: status.listen"},
};

const BadProgram kProxies[] = {
    {programAt("proxy", ""), kTable + "to is missing or empty; allowed: one address or several"},
    {programAt("proxy", "to = [\"unix:/run/c\", \"unix:/run/c\"]"),
     kThird + "to: found \"unix:/run/c\" twice"},
    {programAt("proxy", "to = [\"gemini://localhost\"]"),
     kThird + "to: found \"localhost:1965\", where this server listens itself: listen.gemini"},
    {programAt("proxy", "to = [\"gemini://b.example\"]"),
     kThird + "to: found \"b.example:1965\", which is another machine: set fingerprints or ca, so "
              "that it is known which capsule answers"},
    {proxyWith("certificate = \"c\""),
     kFourth + "certificate: has no key beside it; set both or neither"},
    {proxyWith("key = \"k\""), kFourth + "key: has no certificate beside it; set both or neither"},
    {proxyWith("server_name = \"*.a\""),
     kFourth + "server_name: found \"*.a\"; allowed: a host name such as \"example.org\""},
    {proxyWith("server_name = \"192.0.2.1\""),
     kFourth + "server_name: found \"192.0.2.1\"; allowed: a host name such as \"example.org\""},
    {proxyWith("tls = false\nca = \"c\""), "5: sites.a.\"/x\".ca: is for tls = true"},
    {proxyWith("tls = false\nserver_name = \"b\""),
     "5: sites.a.\"/x\".server_name: is for tls = true"},
    {programAt("proxy", "to = [\"unix:/run/c\"]\nhost = \"upstream\""),
     kFourth + "host: found \"upstream\", but a Unix socket in to has no host; allowed: \"keep\""},
    {proxyWith("header_timeout = \"3m\""),
     kFourth + "header_timeout: a header may take \"3m\", and the whole no more than \"2m\"; "
               "allowed: a header_timeout that is not longer than timeout"},
    {"[sites.a.\"/area\"]\nmodule = \"authenticated\"\n[sites.a.\"/area\".sites.\"/x\"]\n"
     "module = \"proxy\"",
     "3: sites.a.\"/area\".sites.\"/x\": to is missing or empty; allowed: one address or several"},
};

const std::string kHomes = "sites.a.\"/~\"";
const std::string kSocketPlace =
    "allowed: \"%home%/.gemini.sock\" or such, or an absolute path with %user% in it, once";
const BadProgram kBadHomes[] = {
    {homesWith(""), "1: " + kHomes +
                        ": root is missing or empty; allowed: \"/home/%user%/public_gemini\" or "
                        "such"},
    {homesWith("root = \"/home\""),
     "3: " + kHomes + ".root: found \"/home\"; allowed: a path with %user% in it, once"},
    {homesWith("root = \"/%user%/%user%\""),
     "3: " + kHomes + ".root: found \"/%user%/%user%\"; allowed: a path with %user% in it, once"},
    {programAt("homes", "root = \"/home/%user%\""),
     kTable + "has the module \"homes\"; allowed: at a path that ends in \"/~\", which stands for "
              "\"/~NAME\" of each user"},
    {userHomesWith("users = []"), "4: " + kHomes + ".users: found none; allowed: names, or \"*\""},
    {userHomesWith("users = [\"a/b\"]"),
     "4: " + kHomes +
         ".users: found \"a/b\"; allowed: \"*\", or names of up to 32 characters: a-z, 0-9, \"_\" "
         "and \"-\", neither a digit nor \"-\" in front"},
    {userHomesWith("min_uid = 0"),
     "4: " + kHomes + ".min_uid: found 0, which is root; allowed: 1 or more"},
    {userHomesWith("index = [\"a/b\"]"),
     "4: " + kHomes + ".index: found \"a/b\"; allowed: names of files"},
    {userHomesWith("as = \"server\"\ncgi = \"a/b\""),
     "5: " + kHomes + ".cgi: found \"a/b\"; allowed: a name such as \"cgi-bin\""},
    {userHomesWith("socket = \"/run/app.sock\""),
     "4: " + kHomes + ".socket: found \"/run/app.sock\"; " + kSocketPlace},
    {userHomesWith("socket = \"%home%.sock\""),
     "4: " + kHomes + ".socket: found \"%home%.sock\"; " + kSocketPlace},
    {userHomesWith("socket = \"run/%user%\""),
     "4: " + kHomes + ".socket: found \"run/%user%\"; " + kSocketPlace},
    {userHomesWith("socket = \"%home%/s\"\nas = \"server\"\ncgi = \"app\""),
     "6: " + kHomes +
         ".cgi: found \"app\", where each user's socket answers; allowed: another name"},
    {userHomesWith("cgi = \"cgi-bin\""),
     "1: " + kHomes +
         ": users found \"*\", but scripts run as their users, each by a launcher of its own; "
         "allowed: their names, or as = \"server\""},
    {userHomesWith("header_timeout = \"0s\""),
     "4: " + kHomes + ".header_timeout: found \"0s\"; allowed: more than 0"},
    {userHomesWith("env = { HOME = \"/\" }"),
     "4: " + kHomes +
         ".env.HOME: is a variable that the server sets for the script's account; allowed: other "
         "names"},
};

INSTANTIATE_TEST_SUITE_P(Homes, DynamicCheckRefuses, testing::ValuesIn(kBadHomes));
INSTANTIATE_TEST_SUITE_P(Shared, DynamicCheckRefuses, testing::ValuesIn(kShared));
INSTANTIATE_TEST_SUITE_P(Scripts, DynamicCheckRefuses, testing::ValuesIn(kScripts));
INSTANTIATE_TEST_SUITE_P(Uploads, DynamicCheckRefuses, testing::ValuesIn(kUploads));
INSTANTIATE_TEST_SUITE_P(Applications, DynamicCheckRefuses, testing::ValuesIn(kApplications));
INSTANTIATE_TEST_SUITE_P(Proxies, DynamicCheckRefuses, testing::ValuesIn(kProxies));

TEST(DynamicCheck, TakesWhatIsUnusualButRight) {
  for (const std::string& toml : {
           std::string("dynamic.queue = 0"),
           scriptsWith("env = { _a1 = \"\" }\npass = [\"TZ\", \"LDX\"]"),
           scriptsWith("timeout = \"off\"\nheader_timeout = \"1h\""),
           scriptsWith("timeout = \"20s\""),
           scriptsWith("processes = 8\n[dynamic]\nprocesses = 8"),
           scriptsWith("upload = { decides = \"script\", over = [\"titan\", \"spartan\"] }"),
           scriptsWith(
               "upload = { anyone = true, over = [\"spartan\"], name_suffix = \",titan\" }"),
           programAt("cgi", "script = \"/bin/a\"\nargs = [\"\"]"),
           applicationWith("script_filename = \"%root%/a%path%\"\nroot = \"/srv\""),
           programAt("scgi", "to = [\"127.0.0.1:1965\"]\n[listen]\ngemini = [\"192.0.2.1:1965\"]"),
           programAt("scgi", "to = [\"127.0.0.1:1965\"]\n[listen]\ngemini = []"),
           programAt("proxy", "to = [\"gemini://b.example\"]\nca = \"c\""),
           programAt("proxy", "to = [\"gemini://b.example\"]\ntls = false"),
           programAt("proxy", "to = [\"unix:/run/c\"]"),
           userHomesWith(""),
           userHomesWith("cgi = \"cgi-bin\"\nas = \"server\""),
           userHomesWith("cgi = \"cgi-bin\"\nusers = [\"alice\"]"),
           std::string(
               "[sites.a.\"/m\"]\nmodule = \"authenticated\"\n[sites.a.\"/m\".sites.\"/~\"]\n"
               "module = \"homes\"\nroot = \"/srv/%user%\""),
           userHomesWith("socket = \"%home%/.gemini.sock\""),
           userHomesWith("socket = \"/run/homes/%user%.sock\"\ncgi = \"bin\"\nas = \"server\""),
           proxyWith("proxy_protocol = \"v2\"\nserver_name = \"b.example\""),
           proxyWith("host = \"upstream\"\ncertificate = \"c\"\nkey = \"k\""),
       }) {
    EXPECT_THAT(saidOf(toml), IsEmpty()) << toml;
  }
}

TEST(DynamicCheck, HoldsItsTongueAboutKeysThatCouldNotBeRead) {
  LoadedConfig loaded = parseConfig(programAt("cgi", "root = 1") +
                                        "\n[sites.a.\"/y\"]\nmodule = \"proxy\"\n"
                                        "to = [\"gemini://b.example\"]\nfingerprints = [\"x\"]\n",
                                    "e.toml");
  EXPECT_EQ(loaded.complaints.size(), 2U);
  EXPECT_THAT(checkDynamic(loaded.config), IsEmpty());
}

}  // namespace
}  // namespace egalaxyd
