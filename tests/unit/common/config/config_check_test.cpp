#include "common/config/config_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/config_loader.h"

namespace egalaxyd {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

Complaints check(std::string_view toml) {
  LoadedConfig loaded = parseConfig(toml, "e.toml");
  EXPECT_THAT(loaded.complaints, IsEmpty()) << toml;
  if (loaded.config.sites.empty()) {  // not what this is about
    loaded.config.sites = parseConfig("[sites.other]\nroot = \"/\"", "").config.sites;
  }
  return checkConfig(loaded.config);
}

auto complaint(const std::string& where, const std::string& text) {
  return AllOf(Field(&Complaint::where, where), Field(&Complaint::text, HasSubstr(text)));
}

TEST(ConfigCheck, WantsSomethingToServe) {
  for (const std::string toml :
       {"", "[listen]\ngemini = [\":1\"]", "[sites]", "[tls]\ncertificate = \"c\"\nkey = \"k\""}) {
    EXPECT_THAT(checkConfig(parseConfig(toml, "e.toml").config),
                ElementsAre(Field(&Complaint::text, HasSubstr("[sites.\"HOST\"]"))))
        << toml;
  }
  EXPECT_THAT(checkConfig(parseConfig("router.module = \"r.so\"", "e.toml").config), IsEmpty());
}

struct Bad {
  std::string toml;
  std::string where;
  std::string text;
};

TEST(ConfigCheck, TakesAStatusPageThatNobodyElseReachesOrThatHasAToken) {
  const std::string token = "status.token = \"sha256:" + std::string(64, 'a') + "\"\n";
  for (const std::string& toml :
       {std::string("status.listen = [\"127.0.0.2:1\", \"[::1]:1\", \"localhost:2\"]"),
        token + "status.listen = [\":9965\", \"192.0.2.1:1\"]", token}) {
    EXPECT_THAT(check(toml), IsEmpty()) << toml;
  }
}

class ConfigCheckRefuses : public testing::TestWithParam<Bad> {};

TEST_P(ConfigCheckRefuses, OneThingAndNothingElse) {
  const auto& [toml, where, text] = GetParam();
  EXPECT_THAT(check(toml), ElementsAre(complaint(where, text))) << toml;
}

const Bad kListeners[] = {
    {"[listen]\ngemini = []\nspartan = []", "e.toml:1: listen", "nothing to listen on"},
    {"listen.titan = [\":1965\"]", "e.toml:1: listen.titan",
     "found \":1965\", where listen.gemini listens already with \":1965\""},
    {"status.listen = [\"127.0.0.1:1965\"]", "e.toml:1: status.listen",
     "listen.gemini listens already"},
    {"status.listen = [\":9965\"]", "e.toml:1: status.listen",
     "found \":9965\", which others may reach; allowed: 127.0.0.1, [::1] and localhost, or set "
     "status.token"},
    {"status.listen = [\"[::1]:1\", \"192.0.2.1:1\"]", "e.toml:1: status.listen",
     "found \"192.0.2.1:1\", which others may reach"},
    {"listen.gemini = []\nlisten.spartan = []\nstatus.listen = [\"localhost:1\"]",
     "e.toml:1: listen", "nothing to listen on"},
    {"listen.gemini = [\":1\", \":1\"]", "e.toml:1: listen.gemini",
     "listen.gemini listens already"},
    {"listen.spartan = [\"127.0.0.1:1965\"]", "e.toml:1: listen.spartan",
     "listen.gemini listens already"},
    {"listen.gemini = [\"a.b:1\", \"A.B:1\"]", "e.toml:1: listen.gemini", "listens already"},
    {"listen.gemini = [\"0.0.0.0:1\", \"127.0.0.1:1\"]", "e.toml:1: listen.gemini",
     "listens already"},
    {"listen.gemini = [\"[::1]:1\", \"[::]:1\"]", "e.toml:1: listen.gemini", "listens already"},
};

const Bad kCertificates[] = {
    {"tls.certificate = \"c\"", "e.toml:1: tls.certificate", "has no key beside it"},
    {"tls.key = \"k\"", "e.toml:1: tls.key", "has no certificate beside it"},
    {"[sites.a]\nroot = \"/\"\ncertificate = \"c\"", "e.toml:3: sites.a.certificate",
     "has no key beside it"},
    {"[sites.a]\nroot = \"/\"\nkey = \"k\"", "e.toml:3: sites.a.key",
     "has no certificate beside it"},
};

const Bad kLimits[] = {
    {"limits.connections = 0", "e.toml:1: limits.connections", "found 0; allowed: more than 0"},
    {"limits.handshake_timeout = \"0s\"", "e.toml:1: limits.handshake_timeout",
     "found \"0s\"; allowed: more than 0"},
    {"limits.request_timeout = \"0s\"", "e.toml:1: limits.request_timeout", "more than 0"},
    {"limits.upload_timeout = \"0s\"", "e.toml:1: limits.upload_timeout", "more than 0"},
    {"limits.upload_min_rate = 0", "e.toml:1: limits.upload_min_rate", "more than 0"},
    {"limits.write_timeout = \"0s\"", "e.toml:1: limits.write_timeout", "more than 0"},
    {"limits.download_min_rate = 0", "e.toml:1: limits.download_min_rate", "or \"off\""},
    {"server.workers = 8\nlimits.connections = 7", "e.toml:2: limits.connections",
     "found 7; allowed: at least one for each of the 8 workers"},
    {"rate_limit.requests = 0", "e.toml:1: rate_limit.requests", "set rate_limit.enabled = false"},
    {"rate_limit.per = \"0s\"", "e.toml:1: rate_limit.per", "more than 0"},
    {"rate_limit.penalty = \"0s\"", "e.toml:1: rate_limit.penalty", "more than 0"},
    {"users.metadata_ttl = \"0s\"", "e.toml:1: users.metadata_ttl", "more than 0"},
    {"users.ttl = \"0s\"", "e.toml:1: users.ttl", "more than 0"},
    {"storage.patience = \"0s\"", "e.toml:1: storage.patience", "more than 0"},
    {"storage.host = \"a b\"", "e.toml:1: storage.host", "allowed: 1 to 64 letters"},
    {"storage.engine = \"postgresql\"", "e.toml: storage.url", "is missing"},
    {"storage.url = \"postgresql://db/e\"", "e.toml:1: storage.url", "is of no use with engine"},
    {"storage.engine = \"postgresql\"\nstorage.url = \"postgresql://e:secret@db/e\"",
     "e.toml:2: storage.url", "holds a password; write that into a file (mode 0600)"},
};

const std::string kArea = "[sites.a.\"/area\"]\nmodule = \"authenticated\"\n";
const std::string kAsk = "[sites.a.\"/ask\"]\nmodule = \"input\"\n";
const std::string kPlugIn = "[sites.a.\"/p\"]\nmodule = \"plugin\"\n";

const Bad kPlugIns[] = {
    {kPlugIn + "class = \"C\"", "e.toml:1: sites.a.\"/p\"", "library is missing or empty"},
    {kPlugIn + "library = \"l\"", "e.toml:1: sites.a.\"/p\"", "class is missing or empty"},
    {kPlugIn + "library = \"l\"\nclass = \"\"", "e.toml:4: sites.a.\"/p\".class",
     "is missing or empty"},
};

const Bad kNested[] = {
    {kArea, "e.toml:1: sites.a.\"/area\"",
     "sites is missing or empty; set a path such as [sites.a.\"/area\".sites.\"/\"]"},
    {kArea + "[sites.a.\"/area\".sites]", "e.toml:3: sites.a.\"/area\".sites",
     "is missing or empty"},
    {kArea + "prompt = \"\"\nsites.\"/\".module = \"spy\"", "e.toml:3: sites.a.\"/area\".prompt",
     "is empty"},
    {kArea + "prompt = \"a\\nb\"\nsites.\"/\".module = \"spy\"",
     "e.toml:3: sites.a.\"/area\".prompt", "control character"},
    {kArea + "[sites.a.\"/area\".sites.\"/x\"]\nmodule = \"directory\"",
     "e.toml:3: sites.a.\"/area\".sites.\"/x\"", "root is missing or empty"},
    {kArea + "[sites.a.\"/area\".sites.\"/x\"]\nmodule = \"input\"\n" +
         "[sites.a.\"/area\".sites.\"/x\".sites.\"/y\"]\nmodule = \"redirect\"\nto = \"%x%\"",
     "e.toml:7: sites.a.\"/area\".sites.\"/x\".sites.\"/y\".to", "found \"%x%\""},
    {kAsk, "e.toml:1: sites.a.\"/ask\"", "or as_meta = true"},
    {kAsk + "as_meta = true\nkey = \"\"", "e.toml:4: sites.a.\"/ask\".key", "1 to 255"},
    {kAsk + "as_meta = true\nkey = \"a\\tb\"", "e.toml:4: sites.a.\"/ask\".key",
     "without control characters"},
    {kAsk + "as_meta = true\ncert_prompt = \"\"", "e.toml:4: sites.a.\"/ask\".cert_prompt",
     "is empty"},
};

const Bad kSites[] = {
    {"[sites.\"a.b\"]\nroot = \"/\"\n[sites.\"A.b\"]\nroot = \"/\"", "e.toml:3: sites.\"A.b\"",
     "the host \"a.b\" is taken already by e.toml:1: sites.\"a.b\""},
    {"[sites.a]\nroot = \"/\"\naliases = [\"a\"]", "e.toml:3: sites.a.aliases",
     "\"a\" is taken already by e.toml:1: sites.a"},
    {"[sites.a]\nroot = \"/\"\naliases = [\"b\", \"B\"]", "e.toml:3: sites.a.aliases",
     "\"b\" is taken already"},
    {"[sites.a]\nroot = \"/\"\naliases = [\"b\"]\n[sites.b]\nroot = \"/\"",
     "e.toml:3: sites.a.aliases", "\"b\" is taken already by e.toml:4: sites.b"},
    {"[sites.a]\nroot = \"/\"\naliases = [\"c\"]\n[sites.b]\nroot = \"/\"\naliases = [\"c\"]",
     "e.toml:6: sites.b.aliases", "\"c\" is taken already by e.toml:1: sites.a"},
    {"[sites.a]", "e.toml:1: sites.a", "serves nothing; set root"},
};

std::string mount(const std::string& args) { return "[sites.a.\"/\"]\n" + args; }
std::string directory(const std::string& args) {
  return mount("module = \"directory\"\nroot = \"/\"\n" + args);
}
std::string reply(int status, const std::string& rest = "") {
  return mount("module = \"reply\"\nstatus = " + std::to_string(status) + "\n" + rest);
}
std::string redirect(const std::string& to) {
  return mount("module = \"redirect\"\nto = \"" + to + "\"");
}

const Bad kDirectories[] = {
    {mount("module = \"directory\""), "e.toml:1: sites.a.\"/\"", "root is missing"},
    {mount("module = \"directory\"\nroot = \"\""), "e.toml:3: sites.a.\"/\".root",
     "is missing or empty"},
    {"[sites.a]\nroot = \"\"", "e.toml:2: sites.a.root", "is missing or empty"},
    {directory("index = [\"\"]"), "e.toml:4: sites.a.\"/\".index",
     "found \"\"; allowed: names of files"},
    {directory("index = [\"a/b\"]"), "e.toml:4: sites.a.\"/\".index", "found \"a/b\""},
    {directory("index = [\"..\"]"), "e.toml:4: sites.a.\"/\".index", "found \"..\""},
    {directory("mime = { gmi = \"a/b\" }"), "e.toml:4: sites.a.\"/\".mime.gmi",
     "must begin with \".\""},
    {directory("mime = { \".\" = \"a/b\" }"), "e.toml:4: sites.a.\"/\".mime.\".\"",
     "must begin with"},
    {directory("mime = { \".x\" = \"text\" }"), "e.toml:4: sites.a.\"/\".mime.\".x\"",
     "found \"text\"; allowed: a media type"},
    {directory("default_type = \"\""), "e.toml:4: sites.a.\"/\".default_type",
     "allowed: a media type"},
    {directory("upload = {anyone = true, quota = \"4KiB\"}"),
     "e.toml:4: sites.a.\"/\".upload.quota",
     "found 4KiB; allowed: more than the 4KiB that each file counts"},
    {directory("upload = {anyone = true, total_quota = 0}"),
     "e.toml:4: sites.a.\"/\".upload.total_quota", "or \"off\""},
    {directory("upload = {anyone = true, files = 0}"), "e.toml:4: sites.a.\"/\".upload.files",
     "more than 0, or \"off\""},
    {directory("upload = {anyone = true, create_directories = true, new_folders = 0}"),
     "e.toml:4: sites.a.\"/\".upload.new_folders", "or create_directories = false"},
    {directory("upload = {anyone = true, create_directories = true, depth = 0}"),
     "e.toml:4: sites.a.\"/\".upload.depth", "or create_directories = false"},
};

const Bad kFileRules[] = {
    {"[sites.a]\nroot = \"/\"\nfiles = { \"/x\" = { lang = \"de\" } }",
     "e.toml:3: sites.a.files.\"/x\"", "without a slash at its ends"},
    {"[sites.a]\nroot = \"/\"\n[sites.a.files.\"*.x\"]\nmime = \"nonsense\"",
     "e.toml:4: sites.a.files.\"*.x\".mime", "allowed: a media type"},
    {"[sites.a]\nroot = \"/\"\nsidecar = \".meta\"\nindex = [\".meta\"]", "e.toml:4: sites.a.index",
     "sidecar keeps from being served"},
};

const Bad kFiles[] = {
    {mount("module = \"file\""), "e.toml:1: sites.a.\"/\"", "path is missing"},
    {mount("module = \"file\"\npath = \"/f\"\nmime = \"x\""), "e.toml:4: sites.a.\"/\".mime",
     "found \"x\"; allowed: a media type"},
};

const Bad kRedirects[] = {
    {mount("module = \"redirect\""), "e.toml:1: sites.a.\"/\"", "to is missing"},
    {redirect(""), "e.toml:3: sites.a.\"/\".to", "is missing or empty"},
    {redirect("/%paht%"), "e.toml:3: sites.a.\"/\".to",
     "found \"%paht%\"; allowed: %path%, %query%, %host%"},
    {redirect("/%20%x%"), "e.toml:3: sites.a.\"/\".to", "found \"%x%\""},
    {redirect("/100%"), "e.toml:3: sites.a.\"/\".to", "found a lone \"%\""},
    {redirect("/a b"), "e.toml:3: sites.a.\"/\".to", "found a space or a control character"},
    {redirect("/a\\r\\nb"), "e.toml:3: sites.a.\"/\".to", "found a space or a control character"},
    {redirect("/" + std::string(1024, 'a')), "e.toml:3: sites.a.\"/\".to",
     "longer than 1024 bytes"},
};

const Bad kReplies[] = {
    {mount("module = \"reply\""), "e.toml:1: sites.a.\"/\"",
     "status is missing; allowed: 10 11 20"},
    {reply(21), "e.toml:3: sites.a.\"/\".status",
     "found 21; allowed: 10 11 20 30 31 40 41 42 43 44 50"},
    {reply(99), "e.toml:3: sites.a.\"/\".status", "found 99; allowed: "},
    {reply(10), "e.toml:1: sites.a.\"/\"", "meta is missing or empty; status 10 needs it"},
    {reply(11, "meta = \"\""), "e.toml:4: sites.a.\"/\".meta", "status 11 needs it"},
    {reply(20), "e.toml:1: sites.a.\"/\"", "status 20 needs it"},
    {reply(31), "e.toml:1: sites.a.\"/\"", "status 31 needs it"},
    {reply(20, "meta = \"gemtext\""), "e.toml:4: sites.a.\"/\".meta",
     "found \"gemtext\"; allowed: a media type"},
    {reply(50, "meta = \"a\\nb\""), "e.toml:4: sites.a.\"/\".meta", "found a control character"},
    {reply(50, "meta = \"" + std::string(1025, 'a') + "\""), "e.toml:4: sites.a.\"/\".meta",
     "found 1025 bytes; allowed: at most 1024"},
    {reply(50, "body = \"x\""), "e.toml:4: sites.a.\"/\".body", "status 50 has none; only 20 does"},
};

const Bad kLog[] = {
    {"log.target = \"\"", "e.toml:1: log.target", "allowed: \"stderr\", \"journal\" or a file"},
};

std::string redirectAt(const std::string& site, const std::string& path, const std::string& to) {
  return "[sites." + site + ".\"" + path + "\"]\nmodule = \"redirect\"\nto = \"" + to + "\"\n";
}

const Bad kCircles[] = {
    {redirect("/%path%"), "e.toml:3: sites.a.\"/\".to", "sends who asks for \"/\" in circles"},
    {redirect("%path%"), "e.toml:3: sites.a.\"/\".to", "in circles"},
    {redirect("/"), "e.toml:3: sites.a.\"/\".to", "in circles"},
    {redirect("/deeper%path%"), "e.toml:3: sites.a.\"/\".to", "in circles"},
    {redirect("?%query%"), "e.toml:3: sites.a.\"/\".to", "in circles"},
    {redirect("page"), "e.toml:3: sites.a.\"/\".to", "in circles"},
    {redirect("gemini://a%path%"), "e.toml:3: sites.a.\"/\".to", "in circles"},
    {redirect("gemini://%host%:1965/x"), "e.toml:3: sites.a.\"/\".to", "in circles"},
    {redirectAt("a", "/old", "/old/new"), "e.toml:3: sites.a.\"/old\".to",
     "sends who asks for \"/old\" in circles"},
    {redirectAt("\"*\"", "/", "gemini://a.b/%path%"), "e.toml:3: sites.\"*\".\"/\".to",
     "in circles"},
    {std::string("[sites.a.\"/x\"]\nmodule = \"authenticated\"\n") +
         "[sites.a.\"/x\".sites.\"/\"]\nmodule = \"redirect\"\nto = \"/x/y\"\n",
     "e.toml:5: sites.a.\"/x\".sites.\"/\".to", "in circles"},
};

std::string pattern(const std::string& from, const std::string& to) {
  return "[[sites.a.redirects]]\nfrom = '" + from + "'\nto = \"" + to + "\"\n";
}

const std::string kPage = "[sites.a.\"/\"]\nmodule = \"info\"\n";

const Bad kPatterns[] = {
    {kPage + pattern("^/(a", "/"), "e.toml:4: sites.a.redirects[1].from", "missing ): ^/(a"},
    {kPage + pattern("^/(a)", "/$1") + pattern("^/a", "/b/$1"), "e.toml:8: sites.a.redirects[2].to",
     "from has 0 groups"},
    {kPage + pattern("^/(a)", "gemini://$1/"), "e.toml:5: sites.a.redirects[1].to",
     "group in the host"},
    {kPage + "[[sites.a.redirects]]\nto = \"/\"\n", "e.toml:3: sites.a.redirects[1]",
     "from is missing or empty"},
    {kPage + pattern(R"(^/log/(\d+)$)", "/log/$1"), "e.toml:5: sites.a.redirects[1].to",
     "sends who asks for \"/log/1\" in circles"},
    {kPage + pattern("^/(.*)$", "/new/$1"), "e.toml:5: sites.a.redirects[1].to", "in circles"},
    {kPage + pattern("^/x", "gemini://a/x?$$"), "e.toml:5: sites.a.redirects[1].to", "in circles"},
};

TEST(ConfigCheck, RefusesPatternsAndPathsThatLeadToEachOther) {
  EXPECT_THAT(check(redirectAt("a", "/x", "/y") + pattern("^/y", "/x")),
              ElementsAre(complaint("e.toml:3: sites.a.\"/x\".to", "in circles")));
}

TEST(ConfigCheck, TakesPatternsThatLeadSomewhere) {
  EXPECT_THAT(check(kPage + pattern(R"(^/log/(\d+)$)", "/gemlog/$1") +
                    pattern("^/gemlog/x(.*)", "/gemlog/$1") + pattern("^/(.*)$", "gemini://b/$1")),
              IsEmpty());
}

TEST(ConfigCheck, RefusesRedirectsThatLeadToEachOther) {
  EXPECT_THAT(check(redirectAt("a", "/x", "/y%path%") + redirectAt("a", "/y", "/x%path%")),
              ElementsAre(complaint("e.toml:3: sites.a.\"/x\".to", "in circles"),
                          complaint("e.toml:6: sites.a.\"/y\".to", "in circles")));
  EXPECT_THAT(
      check(redirectAt("a", "/", "gemini://b/%path%") + redirectAt("b", "/", "gemini://a/")),
      ElementsAre(complaint("e.toml:3: sites.a.\"/\".to", "in circles"),
                  complaint("e.toml:6: sites.b.\"/\".to", "in circles")));
}

TEST(ConfigCheck, TakesRedirectsThatLeadSomewhere) {
  const std::string page = "[sites.a.\"/new\"]\nmodule = \"info\"\n";
  for (const std::string& toml : {
           redirectAt("a", "/", "/new%path%") + page,
           redirectAt("a", "/", "/new") + page,
           redirectAt("a", "/new/old", "/new") + page,
           redirectAt("a", "/old", "/older") + redirectAt("a", "/older", "/oldest") +
               redirectAt("a", "/oldest", "/new") + page,
           redirectAt("a", "/old", "/nowhere"),
           redirectAt("a", "/", "gemini://elsewhere/%path%"),
           redirectAt("a", "/", "gemini://a:1966/%path%"),
           redirectAt("a", "/", "https://a/%path%"),
           redirectAt("\"www.a\"", "/", "gemini://a/%path%") + page,
       }) {
    EXPECT_THAT(check(toml), IsEmpty()) << toml;
  }
}

INSTANTIATE_TEST_SUITE_P(Circles, ConfigCheckRefuses, testing::ValuesIn(kCircles));
INSTANTIATE_TEST_SUITE_P(Patterns, ConfigCheckRefuses, testing::ValuesIn(kPatterns));
INSTANTIATE_TEST_SUITE_P(Listeners, ConfigCheckRefuses, testing::ValuesIn(kListeners));
INSTANTIATE_TEST_SUITE_P(Certificates, ConfigCheckRefuses, testing::ValuesIn(kCertificates));
INSTANTIATE_TEST_SUITE_P(Limits, ConfigCheckRefuses, testing::ValuesIn(kLimits));
INSTANTIATE_TEST_SUITE_P(PlugIns, ConfigCheckRefuses, testing::ValuesIn(kPlugIns));
INSTANTIATE_TEST_SUITE_P(Nested, ConfigCheckRefuses, testing::ValuesIn(kNested));
INSTANTIATE_TEST_SUITE_P(Sites, ConfigCheckRefuses, testing::ValuesIn(kSites));
INSTANTIATE_TEST_SUITE_P(Directories, ConfigCheckRefuses, testing::ValuesIn(kDirectories));
INSTANTIATE_TEST_SUITE_P(FileRules, ConfigCheckRefuses, testing::ValuesIn(kFileRules));
INSTANTIATE_TEST_SUITE_P(Files, ConfigCheckRefuses, testing::ValuesIn(kFiles));
INSTANTIATE_TEST_SUITE_P(Redirects, ConfigCheckRefuses, testing::ValuesIn(kRedirects));
INSTANTIATE_TEST_SUITE_P(Replies, ConfigCheckRefuses, testing::ValuesIn(kReplies));
INSTANTIATE_TEST_SUITE_P(Log, ConfigCheckRefuses, testing::ValuesIn(kLog));

TEST(ConfigCheck, AcceptsAnInputThatIsOnlyKept) {
  EXPECT_THAT(check(kAsk + "as_meta = true"), IsEmpty());
}

TEST(ConfigCheck, AcceptsTheDefaultsWithASite) {
  EXPECT_THAT(check("[sites.a]\nroot = \"r\"\n"), IsEmpty());
}

TEST(ConfigCheck, AcceptsWhatIsUnusualButRight) {
  for (const std::string& toml : {
           std::string("listen.gemini = [\":0\", \":0\"]\nlisten.spartan = [\":0\"]"),
           std::string("listen.gemini = [\"127.0.0.1:1\", \"127.0.0.2:1\", \"[::1]:1\"]"),
           std::string("listen.gemini = [\"127.0.0.1:1\", \"[::]:1\"]"),
           std::string("listen.gemini = []"),
           std::string("limits.connections_per_ip = 0"),
           std::string("server.drain_timeout = \"0s\""),
           std::string("users.metadata_ttl = \"off\""),
           std::string("tls.certificate = \"c\"\ntls.key = \"k\""),
           std::string("[sites.a]\nroot = \"/\"\ncertificate = \"c\"\nkey = \"k\""),
           std::string("[sites.\"*\"]\nroot = \"/\"\naliases = [\"*.b\", \"b\", \"::1\"]"),
           directory("mime = { \".x\" = \"text/plain; charset=utf-8\" }"),
           directory("index = []"),
           mount("module = \"file\"\npath = \"/f\""),
           redirectAt("a", "/old", "gemini://%host%/new%path%?%query%"),
           redirectAt("a", "/old", "/%C3%BC%20%ab%20"),
           reply(20, "meta = \"text/gemini\"\nbody = \"x\""),
           reply(10, "meta = \"" + std::string(1024, 'a') + "\""),
           reply(30, "meta = \"/elsewhere\""),
           reply(51),
       }) {
    EXPECT_THAT(check(toml), IsEmpty()) << toml;
  }
}

TEST(ConfigCheck, AcceptsEveryStatusOfGeminiInAReply) {
  for (const int status :
       {10, 11, 20, 30, 31, 40, 41, 42, 43, 44, 50, 51, 52, 53, 59, 60, 61, 62}) {
    EXPECT_THAT(check(reply(status, "meta = \"text/plain\"")), IsEmpty()) << status;
  }
}

TEST(ConfigCheck, ComplainsOfAConfigurationThatCameFromNoFile) {
  Config config;
  config.server.workers = 129;
  config.limits.requestTimeout = milliseconds(0);
  config.sites.push_back({.host = "a",
                          .where = "--host a",
                          .aliases = {},
                          .certificate = {},
                          .key = {},
                          .lang = {},
                          .redirects = {},
                          .mounts = {}});
  config.sites[0].mounts.push_back({"/", "the folder", DirectoryArgs{}});
  EXPECT_THAT(checkConfig(config),
              ElementsAre(complaint("server.workers", "found 129; allowed: \"auto\" or 1 to 128"),
                          complaint("limits.request_timeout", "more than 0"),
                          complaint("the folder", "root is missing")));
}

TEST(ConfigCheck, FindsAllThatIsWrong) {
  EXPECT_EQ(check("[limits]\nconnections = 0\nwrite_timeout = \"0s\"\n[sites.a]\n[sites.b]").size(),
            4U);
}

TEST(Complaints, OfOnePlaceAreNotRepeated) {
  const LoadedConfig loaded = parseConfig(
      "[sites.a.\"/\"]\nmodule = \"directory\"\nroot = 1\n[sites.b]\nroot = 2\n[sites]\nc = 3\n"
      "[sites.d.\"/\"]\nmodule = \"gopher\"\n[sites.\"?\"]\nroot = \"/\"\n[sites.e.\"/\"]\n"
      "module = \"reply\"\nstatus = \"x\"",
      "e.toml");
  Complaints all = loaded.complaints;
  addComplaints(all, checkConfig(loaded.config));
  EXPECT_EQ(all.size(), loaded.complaints.size());
  EXPECT_EQ(all.size(), 6U);
}

/// All that is said of a file.
Complaints complaintsOf(std::string_view toml) {
  LoadedConfig loaded = parseConfig(toml, "e.toml");
  addComplaints(loaded.complaints, checkConfig(loaded.config));
  return std::move(loaded.complaints);
}

TEST(Complaints, AValueThatCannotBeReadIsNotMissingToo) {
  const std::string path = "[sites.a.\"/\"]\nmodule = ";
  for (const std::string& toml : {
           std::string("[sites.a]\nroot = 1"),
           path + "\"directory\"\nroot = []",
           path + "\"file\"\npath = true",
           path + "\"reply\"\nstatus = \"x\"",
           path + "\"directory\"\nroot = \"/\"\nupload.fingerprints = [\"abc\"]",
           path + "\"directory\"\nroot = \"/\"\nupload.tokens = \"secret\"",
           std::string("[sites.a]\nroot = \"/r\"\n[tls]\ncertificate = 1\nkey = \"k\""),
           std::string("sites = 1"),
           std::string("router.module = 1"),
       }) {
    EXPECT_EQ(complaintsOf(toml).size(), 1U) << toml;
  }
}

TEST(Complaints, AMisspeltKeyIsNotMissingToo) {
  const std::string upload = "[sites.a]\nroot = \"/r\"\n[sites.a.upload]\n";
  for (const std::string& toml : {
           std::string("[sites.a]\nrot = \"/r\""),
           std::string("[sites.a.\"/\"]\nmodule = \"directory\"\nrot = \"/r\""),
           std::string("[sites.a.\"/\"]\nmodule = \"file\"\npth = \"/f\""),
           std::string("[sites.a.\"/\"]\nmodule = \"redirect\"\ntoo = \"/f\""),
           std::string("[sites.a.\"/\"]\nmodule = \"reply\"\nstaus = 51"),
           std::string("[sites.a.\"/\"]\nmodule = \"authenticated\"\nsite.\"/\".module = \"spy\""),
           std::string("[sites.a.wiki]\nmodule = \"spy\""),
           std::string("[site.a]\nroot = \"/r\""),
           std::string("router.modul = \"/r.so\""),
           std::string("[sites.a]\nroot = \"/r\"\n[tls]\ncertificte = \"c\"\nkey = \"k\""),
           upload + "finger_prints = [\"*\"]",
           upload + "token = []",
           upload + "anyonee = true",
       }) {
    EXPECT_THAT(complaintsOf(toml),
                ElementsAre(Field(&Complaint::text, HasSubstr("unknown key; "))))
        << toml;
  }
}

TEST(Complaints, OfOtherPlacesAreAdded) {
  Complaints all{{"a", "1"}};
  addComplaints(all, {{"a", "2"}, {"b", "3"}, {"b", "4"}});
  EXPECT_THAT(all, ElementsAre(complaint("a", "1"), complaint("b", "3"), complaint("b", "4")));
}

}  // namespace
}  // namespace egalaxyd
