// What somebody who has never seen TOML gets wrong, and what he is told: the message must lead him
// to the right line, name the key and say what to write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/environment.h"
#include "common/config/config_check.h"
#include "common/config/config_loader.h"
#include "common/config/syntax_fault.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// What `egalaxyd --check` says of it, without the file's name: "LINE: KEY: TEXT".
std::vector<std::string> toldAbout(std::string_view toml) {
  LoadedConfig loaded = parseConfig(toml, "e.toml");
  if (loaded.complaints.empty() || !loaded.config.lines.empty()) {
    addComplaints(loaded.complaints, checkConfig(loaded.config));
  }
  std::vector<std::string> all;
  for (const Complaint& complaint : loaded.complaints) {
    const std::string whole = complaint.where + ": " + complaint.text;
    all.push_back(whole.substr(std::string_view("e.toml:").size()));
  }
  return all;
}

struct Mistake {
  std::string name;
  std::string toml;
  std::vector<std::string> said;
};

class BeginnersMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(BeginnersMistakes, AreToldWithTheLineTheKeyAndWhatToWrite) {
  EXPECT_THAT(toldAbout(GetParam().toml), testing::ElementsAreArray(GetParam().said))
      << GetParam().toml;
}

const Mistake kMistakes[] = {
    {"NoquoteRoot",
     "[sites.\"example.org\"]\nroot = /srv/gemini\n",
     {"2: sites.\"example.org\".root: text stands in quotes; write root = \"/srv/gemini\""}},
    {"NoquoteListen",
     "[listen]\ngemini = [:1965]\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: listen.gemini: texts in an array stand in quotes, with a comma between them; write "
      "gemini = [\":1965\"]"}},
    {"NoquoteListenDotted",
     "listen.gemini = [:1965, [::1]:1966]\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"1: listen.gemini: texts in an array stand in quotes, with a comma between them; write "
      "listen.gemini = [\":1965\", \"[::1]:1966\"]"}},
    {"NoquoteUser",
     "[server]\nuser = bob\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: server.user: text stands in quotes; write user = \"bob\""}},
    {"NoquoteDuration",
     "[limits]\nwrite_timeout = 30s # half a minute\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: limits.write_timeout: text stands in quotes; write write_timeout = \"30s\""}},
    {"NoquoteModule",
     "[sites.\"example.org\".\"/\"]\nmodule = directory\nroot = \"/tmp\"\n",
     {"2: sites.\"example.org\".\"/\".module: text stands in quotes; write module = "
      "\"directory\""}},
    {"NoquoteHome",
     "[sites.\"example.org\"]\nroot = ~/capsule\n",
     {"2: sites.\"example.org\".root: text stands in quotes; write root = \"~/capsule\""}},
    {"Unclosed",
     "[sites.\"example.org\"]\nroot = \"/srv/gemini\nlisting = true\n",
     {"2: sites.\"example.org\".root: the quote is not closed; write root = \"/srv/gemini\""}},
    {"UnclosedSingle",
     "[sites.\"example.org\"]\nroot = '/srv/gemini\n",
     {"2: sites.\"example.org\".root: the quote is not closed; write root = \"/srv/gemini\""}},
    {"Unopened",
     "[sites.\"example.org\"]\nroot = /srv/gemini\"\n",
     {"2: sites.\"example.org\".root: text stands in quotes; write root = \"/srv/gemini\""}},
    {"UnclosedHeader",
     "[sites.\"example.org\"\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org\": a table's name stands between [ and ], alone on its line; write "
      "[sites.\"example.org\"]"}},
    {"UnclosedHeaderQuote",
     "[sites.\"example.org]\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org\": the quote is not closed; write [sites.\"example.org\"]"}},
    {"Dots",
     "[sites.example.org]\nroot = \"/tmp\"\n",
     {"1: sites.example.org: a host's name with dots stands in quotes: write "
      "[sites.\"example.org\"]; a path begins with \"/\""}},
    {"DotsPath",
     "[sites.example.org.\"/\"]\nmodule = \"directory\"\nroot = "
     "\"/tmp\"\n[sites.example.org.\"/old\"]\nmodule=\"redirect\"\nto=\"/new\"\n",
     {"1: sites.example.org: a host's name with dots stands in quotes: write "
      "[sites.\"example.org\"]; a path begins with \"/\"; likewise in line 4"}},
    {"DotsThree",
     "[sites.www.example.org]\nroot = \"/tmp\"\n[sites.example.net]\nroot = \"/tmp\"\n",
     {"1: sites.www.example.org: a host's name with dots stands in quotes: write "
      "[sites.\"www.example.org\"]",
      "3: sites.example.net: a host's name with dots stands in quotes: write "
      "[sites.\"example.net\"]; a path begins with \"/\""}},
    {"DotsIp",
     "[sites.127.0.0.1]\nroot = \"/tmp\"\n",
     {"1: sites.127.0.0.1: a host's name with dots stands in quotes: write [sites.\"127.0.0.1\"]"}},
    {"DotsDotted",
     "sites.example.org.root = \"/tmp\"\n",
     {"1: sites.example.org: a host's name with dots stands in quotes: write "
      "[sites.\"example.org\"]; a path begins with \"/\""}},
    {"DotsWithin",
     "[sites]\nexample.org.root = \"/tmp\"\n",
     {"2: sites.example.org: a host's name with dots stands in quotes: write "
      "[sites.\"example.org\"]; a path begins with \"/\""}},
    {"DotsStar",
     "[sites.*.example.org]\nroot = \"/tmp\"\n",
     {"1: sites.\"*.example.org\": what has other characters than letters, digits, - and _ stands "
      "in quotes; write [sites.\"*.example.org\"]"}},
    {"Star",
     "[sites.*]\nroot = \"/tmp\"\n",
     {"1: sites.\"*\": what has other characters than letters, digits, - and _ stands in quotes; "
      "write [sites.\"*\"]"}},
    {"DotsSlash",
     "[sites.\"example.org\"./path]\nmodule = \"directory\"\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org\".\"/path\": what has other characters than letters, digits, - and _ "
      "stands in quotes; write [sites.\"example.org\".\"/path\"]"}},
    {"DotsSlash2",
     "[sites.example.org./path/a.b]\nmodule = \"directory\"\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org\".\"/path/a.b\": what has other characters than letters, digits, - "
      "and _ stands in quotes; write [sites.\"example.org\".\"/path/a.b\"]"}},
    {"PathInHost",
     "[sites.\"example.org/path\"]\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org/path\": found \"example.org/path\"; allowed: a host name such as "
      "\"example.org\" (beyond ASCII: its \"xn--\" form), \"*.example.org\", \"*\" or an IP "
      "address; write \"example.org\", without scheme, port and path"}},
    {"UrlHost",
     "[sites.\"gemini://example.org\"]\nroot = \"/tmp\"\n",
     {"1: sites.\"gemini://example.org\": found \"gemini://example.org\"; allowed: a host name "
      "such as \"example.org\" (beyond ASCII: its \"xn--\" form), \"*.example.org\", \"*\" or an "
      "IP address; write \"example.org\", without scheme, port and path"}},
    {"PortHost",
     "[sites.\"example.org:1965\"]\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org:1965\": found \"example.org:1965\"; allowed: a host name such as "
      "\"example.org\" (beyond ASCII: its \"xn--\" form), \"*.example.org\", \"*\" or an IP "
      "address; write \"example.org\", without scheme, port and path"}},
    {"Idn",
     "[sites.bücher.example]\nroot = \"/tmp\"\n",
     {"1: sites.\"bücher.example\": what has other characters than letters, digits, - and _ stands "
      "in quotes; write [sites.\"bücher.example\"]",
      "1: sites.\"bücher.example\": found \"bücher.example\"; allowed: a host name such as "
      "\"example.org\" (beyond ASCII: its \"xn--\" form), \"*.example.org\", \"*\" or an IP "
      "address"}},
    {"DupTable",
     "[sites.\"example.org\"]\nroot = \"/tmp\"\n\n[limits]\nconnections = "
     "5\n[sites.\"example.org\"]\nlisting = true\n[log]\nlevel=\"wran\"\n",
     {"6: sites.\"example.org\": this table is there already; it stands in line 1 too; bring the "
      "keys of both together there",
      "9: log.level: found \"wran\"; allowed: \"trace\", \"debug\", \"info\", \"warn\", \"error\"; "
      "did you mean \"warn\"?"}},
    {"DupKey",
     "[limits]\nconnections = 5\nconnections = 6\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"3: limits.connections: is set twice; it stands in line 2 too; keep one of them"}},
    {"DupInline",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directory\"\nroot=\"/tmp\"\nupload = {anyone = "
     "true}\n[sites.\"example.org\".\"/\".upload]\nanyone = true\n",
     {"5: sites.\"example.org\".\"/\".upload: this table is there already; it stands in line 4 "
      "too; bring the keys of both together there"}},
    {"CrlfBad",
     "[sites.\"example.org\"]\r\nroot = /tmp\r\n",
     {"2: sites.\"example.org\".root: text stands in quotes; write root = \"/tmp\""}},
    {"Smart",
     "[sites.\"example.org\"]\nroot = “/srv/gemini”\n",
     {"2: sites.\"example.org\".root: found “, a quote of another kind; only plain ones (\" or ') "
      "begin and end a text; write root = \"/srv/gemini\""}},
    {"SmartHalf",
     "[sites.\"example.org\"]\nroot = \"/srv/gemini”\n",
     {"2: sites.\"example.org\".root: found ”, a quote of another kind; only plain ones (\" or ') "
      "begin and end a text; write root = \"/srv/gemini\""}},
    {"SmartHeader",
     "[sites.“example.org”]\nroot = \"/tmp\"\n",
     {"1: found “, a quote of another kind; only plain ones (\" or ') begin and end a text; write "
      "[sites.\"example.org\"]"}},
    {"Nbsp",
     "[sites.\"example.org\"]\nroot\u00a0= \"/tmp\"\n",
     {"2: sites.\"example.org\".root: found U+00A0, a character that looks like a space or like "
      "nothing; only plain spaces and tabs may stand there; write root = \"/tmp\""}},
    {"Pem",
     "-----BEGIN CERTIFICATE-----\nMIIB\n",
     {"1: this is a certificate or a key, not a configuration"}},
    {"Json",
     "{\"sites\": {\"example.org\": {\"root\": \"/tmp\"}}}",
     {"1: this looks like JSON or XML; a configuration is TOML: man egalaxyd.toml"}},
    {"Yaml",
     "sites:\n  example.org:\n    root: /tmp\n",
     {"1: sites: found \"sites:\", as in YAML; a configuration is TOML: man egalaxyd.toml"}},
    {"Colon",
     "[sites.\"example.org\"]\nroot: \"/tmp\"\n",
     {"2: sites.\"example.org\".root: a = stands between a key and its value; write root = "
      "\"/tmp\""}},
    {"Nginx",
     "listen 1965;\n[sites.\"example.org\"]\nroot \"/tmp\";\n",
     {"1: listen: expected a table, found an integer; write [listen] and its keys below it",
      "3: sites.\"example.org\".root: a = stands between a key and its value; write root = "
      "\"/tmp\""}},
    {"Semicolon",
     "[sites.\"example.org\"]\nroot = \"/tmp\";\n",
     {"2: sites.\"example.org\".root: nothing but a comment may follow a value; write root = "
      "\"/tmp\""}},
    {"CommentSlash",
     "// my server\n[sites.\"example.org\"]\nroot = \"/tmp\"\n",
     {"1: found //; a comment begins with #"}},
    {"ModuleTypo",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directroy\"\nroot = \"/tmp\"\n",
     {"2: sites.\"example.org\".\"/\".module: found \"directroy\"; allowed: \"directory\", "
      "\"file\", \"authenticated\", \"input\", \"spy\", \"info\", \"redirect\", \"reply\", "
      "\"plugin\", \"cgi\", \"scgi\", \"fastcgi\", \"proxy\", \"homes\"; did you mean "
      "\"directory\"?"}},
    {"EnumTypo",
     "[log]\nlevel = \"wran\"\n[server]\nsandbox = "
     "\"of\"\n[sites.\"example.org\"]\nroot=\"/tmp\"\nsymlinks = \"folow\"\n",
     {"2: log.level: found \"wran\"; allowed: \"trace\", \"debug\", \"info\", \"warn\", \"error\"; "
      "did you mean \"warn\"?",
      "4: server.sandbox: found \"of\"; allowed: \"off\", \"auto\", \"required\"; did you mean "
      "\"off\"?",
      "7: sites.\"example.org\".symlinks: found \"folow\"; allowed: \"deny\", \"inside\", "
      "\"follow\"; did you mean \"follow\"?"}},
    {"SiteTypo",
     "[sites.\"example.org\"]\nrot = \"/tmp\"\n",
     {"2: sites.\"example.org\".rot: unknown key; did you mean \"root\"?"}},
    {"SiteTypo2",
     "[sites.\"example.org\"]\nroot=\"/tmp\"\ncertficate = \"/x\"\nkey = \"/y\"\n",
     {"3: sites.\"example.org\".certficate: unknown key; did you mean \"certificate\"?"}},
    {"Array",
     "[listen]\ngemini = \":1965\"\ntitan = 1966\n[sites.\"example.org\"]\nroot=\"/tmp\"\naliases "
     "= \"www.example.org\"\nindex = \"index.gmi\"\n",
     {"2: listen.gemini: expected an array, found a string; write [\":1965\"]",
      "3: listen.titan: expected an array, found an integer; write for example [\":1965\"]",
      "6: sites.\"example.org\".aliases: expected an array, found a string; write "
      "[\"www.example.org\"]",
      "7: sites.\"example.org\".index: expected an array, found a string; write [\"index.gmi\"]"}},
    {"FingerprintArray",
     "[sites.\"example.org\".\"/\"]\nmodule = \"authenticated\"\nfingerprints = "
     "\"*\"\nsites.\"/\".module = \"spy\"\n",
     {"3: sites.\"example.org\".\"/\".fingerprints: expected an array, found a string; write for "
      "example [\"SHA256:…\"]"}},
    {"UpArray",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directory\"\nroot=\"/tmp\"\nupload.fingerprints = "
     "\"*\"\n",
     {"4: sites.\"example.org\".\"/\".upload.fingerprints: expected an array, found a string; "
      "write [\"*\"]"}},
    {"BoolYes",
     "[sites.\"example.org\"]\nroot=\"/tmp\"\nlisting = yes\n",
     {"3: sites.\"example.org\".listing: a switch is true or false; write listing = true"}},
    {"BoolTrue",
     "[sites.\"example.org\"]\nroot=\"/tmp\"\nlisting = True\n",
     {"3: sites.\"example.org\".listing: a switch is true or false; write listing = true"}},
    {"BoolStr",
     "[sites.\"example.org\"]\nroot=\"/tmp\"\nlisting = \"true\"\n",
     {"3: sites.\"example.org\".listing: expected a boolean or a table, found a string; write "
      "true"}},
    {"IntStr",
     "[limits]\nconnections = \"500\"\n[server]\nworkers = "
     "\"4\"\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: limits.connections: expected an integer, found a string; allowed: 0 to 1000000; write "
      "500",
      "4: server.workers: found \"4\"; allowed: \"auto\" or 1 to 128; write 4"}},
    {"Ver",
     "[tls]\nmin_version = 1.3\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: tls.min_version: expected a string, found a float; allowed: \"1.2\", \"1.3\"; write "
      "\"1.3\""}},
    {"Dur",
     "[server]\ndrain_timeout = 30\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: server.drain_timeout: expected a string, found an integer; allowed: a duration such as "
      "\"250ms\", \"30s\", \"5m\", \"2h\" or \"7d\"; write \"30s\""}},
    {"Novalue",
     "[server]\nuser =\n[sites.\"example.org\"]\nroot = \n",
     {"2: server.user: has no value; write one behind the =, or # before the line",
      "4: sites.\"example.org\".root: has no value; write one behind the =, or # before the line"}},
    {"HomeUser",
     "[sites.\"example.org\"]\nroot = \"~nosuchuser/x\"\n",
     {"2: sites.\"example.org\".root: found \"~nosuchuser\", and there is no account "
      "\"nosuchuser\" on this machine; write the whole path (\"./~nosuchuser\" is a file of that "
      "name)"}},
    {"Doubled",
     "[[sites.\"example.org\"]]\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org\": expected a table, found an array; write [sites.\"example.org\"], "
      "in single brackets"}},
    {"Nosites",
     "[\"example.org\".\"/\"]\nmodule=\"directory\"\nroot=\"/tmp\"\n",
     {"1: \"example.org\": unknown key; a host is written [sites.\"example.org\".\"/\"]"}},
    {"Nosites2",
     "[example.org]\nroot=\"/tmp\"\n",
     {"1: example: unknown key; a host is written [sites.\"example.org\"]"}},
    {"Allquoted",
     "[\"sites.example.org\"]\nroot=\"/tmp\"\n",
     {"1: \"sites.example.org\": unknown key; a host is written [sites.\"example.org\"]"}},
    {"Singular",
     "[site.\"example.org\"]\nroot = \"/tmp\"\n",
     {"1: site: unknown key; did you mean \"sites\"?"}},
    {"ModuleInSite",
     "[sites.\"example.org\"]\nmodule = \"directory\"\nroot = \"/tmp\"\n",
     {"2: sites.\"example.org\".module: belongs to a path; write it below "
      "[sites.\"example.org\".\"/\"]"}},
    {"ModuleInSite2",
     "[sites.\"example.org\"]\nmodule = \"directory\"\npath=\"/x\"\nlisting = true\n",
     {"2: sites.\"example.org\".module: belongs to a path; write it below "
      "[sites.\"example.org\".\"/\"]",
      "3: sites.\"example.org\".path: belongs to a path; write it below "
      "[sites.\"example.org\".\"/\"]",
      "4: sites.\"example.org\".listing: belongs to a path; write it below "
      "[sites.\"example.org\".\"/\"]"}},
    {"TopRoot",
     "root = \"/tmp\"\n",
     {"1: root: unknown key here; it belongs to [sites.\"HOST\".\"/\"]"}},
    {"TopPort",
     "port = 1965\nworkers = 4\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"1: port: unknown key; allowed: \"server\", \"listen\", \"tls\", \"limits\", \"rate_limit\", "
      "\"users\", \"storage\", \"people\", \"log\", \"status\", \"dynamic\", \"router\", \"sites\"",
      "2: workers: unknown key here; it belongs to [server]"}},
    {"WrongSection",
     "[limits]\nrequests = 5\nlevel = \"info\"\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: limits.requests: unknown key here; it belongs to [rate_limit] or [dynamic]",
      "3: limits.level: unknown key here; it belongs to [log]"}},
    {"UploadKeys",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directory\"\nroot=\"/tmp\"\nanyone = true\n",
     {"4: sites.\"example.org\".\"/\".anyone: unknown key here; it belongs to "
      "[sites.\"HOST\".\"/\".upload]"}},
    {"SiteInPath",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directory\"\nroot=\"/tmp\"\ncertificate = "
     "\"/x\"\naliases=[\"b\"]\n",
     {"4: sites.\"example.org\".\"/\".certificate: unknown key here; it belongs to [tls] or "
      "[sites.\"HOST\"]",
      "5: sites.\"example.org\".\"/\".aliases: unknown key here; it belongs to [sites.\"HOST\"]"}},
    {"Windows",
     "[sites.\"example.org\"]\nroot = \"C:\\srv\\gemini\"\n",
     {"2: sites.\"example.org\".root: a \\ begins an escape within \" \"; write root = "
      "'C:\\srv\\gemini'"}},
    {"UnclosedArray",
     "[listen]\ngemini = [\":1965\"\nspartan = "
     "[\":3000\"]\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: listen.gemini: the [ of this array is not closed; write gemini = [\":1965\"]"}},
    {"UnclosedArrayEof",
     "[sites.\"example.org\"]\nroot=\"/tmp\"\naliases = [\"a\", \"b\"\n",
     {"3: sites.\"example.org\".aliases: the [ of this array is not closed; write aliases = "
      "[\"a\", \"b\"]"}},
    {"MultiArrayComma",
     "[sites.\"example.org\"]\nroot=\"/tmp\"\naliases = [\n  \"a\"\n  \"b\"\n]\n",
     {"5: sites.\"example.org\".aliases: a comma is missing between this value and the one before "
      "it"}},
    {"MultiArrayBare",
     "[sites.\"example.org\"]\nroot=\"/tmp\"\naliases = [\n  www.example.org,\n  b\n]\n",
     {"4: sites.\"example.org\".aliases: texts in an array stand in quotes, with a comma between "
      "them; write \"www.example.org\"",
      "5: sites.\"example.org\".aliases: texts in an array stand in quotes, with a comma between "
      "them; write \"b\""}},
    {"ArrayComma",
     "[sites.\"example.org\"]\nroot=\"/tmp\"\naliases = [\"a\" \"b\"]\n",
     {"3: sites.\"example.org\".aliases: texts in an array stand in quotes, with a comma between "
      "them; write aliases = [\"a\", \"b\"]"}},
    {"ManyValues",
     "[listen]\ngemini = \":1965\", \":1966\"\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: listen.gemini: several values stand in [ ]; write gemini = [\":1965\", \":1966\"]"}},
    {"InlineNl",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directory\"\nroot=\"/tmp\"\nupload = { anyone = "
     "true,\n  max_size = \"1MiB\" }\n",
     {"4: sites.\"example.org\".\"/\".upload: what begins with { must end with } on the same line; "
      "write it as a table of its own, or on one line"}},
    {"MimeDot",
     "[sites.\"example.org\".\"/\"]\nmodule = "
     "\"directory\"\nroot=\"/tmp\"\n[sites.\"example.org\".\"/\".mime]\n.gmi = \"text/gemini\"\n",
     {"5: sites.\"example.org\".\"/\".mime.\".gmi\": what has other characters than letters, "
      "digits, - and _ stands in quotes; write \".gmi\" = \"text/gemini\""}},
    {"Secret",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directory\"\nroot=\"/tmp\"\nupload.tokens = "
     "[hunter2hunter2]\n",
     {"4: sites.\"example.org\".\"/\".upload.tokens: found something else; allowed: \"sha256:\" "
      "and 64 hex digits, as \"egalaxyctl token\" prints them"}},
    {"Secret2",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directory\"\nroot=\"/tmp\"\nupload.tokens = "
     "\"hunter2hunter2\"\n",
     {"4: sites.\"example.org\".\"/\".upload.tokens: expected an array, found a string; write for "
      "example [\"sha256:…\"]"}},
    {"Secret3",
     "[sites.\"example.org\".\"/\"]\nmodule=\"plugin\"\nlibrary=\"/x\"\nclass=\"C\"\nargs.password "
     "= hunter2\n",
     {"5: sites.\"example.org\".\"/\".args.password: text stands in quotes; write args.password = "
      "\"…\""}},
    {"PathNoslash",
     "[sites.\"example.org\".members]\nmodule = \"directory\"\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org\".members: unknown key; a path begins with \"/\": write "
      "[sites.\"example.org\".\"/members\"]"}},
    {"PathKey",
     "[sites.\"example.org\"]\n/members.module = \"spy\"\n",
     {"2: sites.\"example.org\".\"/members\".module: what has other characters than letters, "
      "digits, - and _ stands in quotes; write \"/members\".module = \"spy\""}},
    {"Multi",
     "[server]\nuser = bob\n[listen]\ngemini = [:1965]\n[sites.example.org]\nroot = "
     "“/tmp”\nlisting = yes\n[log]\nlevel = \"wran\"\n",
     {"2: server.user: text stands in quotes; write user = \"bob\"",
      "4: listen.gemini: texts in an array stand in quotes, with a comma between them; write "
      "gemini = [\":1965\"]",
      "5: sites.example.org: a host's name with dots stands in quotes: write "
      "[sites.\"example.org\"]; a path begins with \"/\"",
      "6: sites.example.org.root: found “, a quote of another kind; only plain ones (\" or ') "
      "begin and end a text; write root = \"/tmp\"",
      "7: sites.example.org.listing: a switch is true or false; write listing = true",
      "9: log.level: found \"wran\"; allowed: \"trace\", \"debug\", \"info\", \"warn\", \"error\"; "
      "did you mean \"warn\"?"}},
    {"TwoEquals",
     "[server]\nuser = a = b\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: server.user: text stands in quotes; write user = \"a = b\""}},
    {"Extra",
     "[server]\nworkers = 1 2\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: server.workers: found \"1 2\"; allowed: \"auto\" or 1 to 128"}},
    {"Triple",
     "[sites.\"example.org\"]\nroot = \"\"\"/tmp\n",
     {"2: sites.\"example.org\".root: the text that begins with \"\"\" is not closed; write \"\"\" "
      "behind it"}},
    {"HeaderSpace",
     "[sites \"example.org\"]\nroot = \"/tmp\"\n",
     {"1: sites.\"example.org\": what has other characters than letters, digits, - and _ stands in "
      "quotes; write [sites.\"example.org\"]"}},
    {"Apache",
     "<VirtualHost>\n",
     {"1: this looks like JSON or XML; a configuration is TOML: man egalaxyd.toml"}},
    {"AloneOnItsLine",
     "[sites.\"a.b\"]\nroot = \"/r\"\nlisting\n",
     {"3: sites.\"a.b\".listing: has no value; write = and one behind it, or # before the line"}},
    {"NoEq",
     "[server]\nworkers 4\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: server.workers: a = stands between a key and its value; write workers = 4"}},
    {"LeadingZero",
     "[server]\nworkers = 04\n[sites.\"example.org\"]\nroot=\"/tmp\"\n",
     {"2: server.workers: found \"04\"; allowed: \"auto\" or 1 to 128; write 4"}},
    {"Size",
     "[sites.\"example.org\".\"/\"]\nmodule = "
     "\"directory\"\nroot=\"/tmp\"\nupload.anyone=true\nupload.max_size = 10MB\n",
     {"5: sites.\"example.org\".\"/\".upload.max_size: found \"10MB\"; allowed: a size such as "
      "\"64KiB\" or \"10MiB\" (B, KiB, MiB, GiB)"}},
    {"RootMissing",
     "[sites.\"example.org\".\"/\"]\nmodule = \"directory\"\n",
     {"1: sites.\"example.org\".\"/\": root is missing or empty; allowed: a folder"}},
};

INSTANTIATE_TEST_SUITE_P(Config, BeginnersMistakes, testing::ValuesIn(kMistakes),
                         [](const auto& param) { return param.param.name; });

const std::string kFine = "[sites.\"example.org\"]\nroot = \"/srv/gemini\"\n";

TEST(ConfigText, MayHaveAByteOrderMarkWindowsLinesAndTabs) {
  EXPECT_THAT(toldAbout(kFine), IsEmpty());
  EXPECT_THAT(toldAbout("\xef\xbb\xbf" + kFine), IsEmpty());
  EXPECT_THAT(toldAbout("[sites.\"a.b\"]\r\nroot = \"/r\"\r\n"), IsEmpty());
  EXPECT_THAT(toldAbout("\t[sites.\"a.b\"]\n\troot\t=\t\"/r\"\t\n"), IsEmpty());
}

TEST(ConfigText, ThatSetsNothingIsToldWhatToWrite) {
  for (const char* text : {"", "\n  \n", "# nothing yet\n"}) {
    EXPECT_THAT(toldAbout(text),
                ElementsAre(" sites: there are none; write [sites.\"HOST\"] and below it root = "
                            "\"FOLDER\", or set router.module"));
  }
}

TEST(ConfigText, ThatIsNoneIsCalledWhatItIs) {
  EXPECT_THAT(toldAbout(std::string("\x7f\x45LF\n\0\0\1", 8)),
              ElementsAre("2: found a byte 0, so this is no text; is it the right file?"));
  EXPECT_THAT(toldAbout(std::string("\xff\xfe[\0]\0", 6)),
              ElementsAre("1: the file is UTF-16; save it as UTF-8"));
  EXPECT_THAT(toldAbout("[server]\nuser = \"b\xfc\"\n"),
              ElementsAre("2: found the byte 0xfc, which is not UTF-8; save the file as UTF-8, or "
                          "see whether it is the right one"));
}

TEST(ConfigText, IsReadOnBehindItsFirstFault) {
  EXPECT_THAT(toldAbout("[server]\nuser = bob\n[log]\nlevel = loud\n[limit]\n" + kFine),
              ElementsAre("2: server.user: text stands in quotes; write user = \"bob\"",
                          "4: log.level: found \"loud\"; allowed: \"trace\", \"debug\", \"info\", "
                          "\"warn\", \"error\"",
                          "5: limit: unknown key; did you mean \"limits\"?"));
}

TEST(ConfigText, NeverShowsWhatMayBeASecret) {
  const std::string upload = "[sites.a.\"/\".upload]\n";
  for (const std::string& line :
       {std::string("tokens = [hunter2]"), std::string("tokens = hunter2"),
        std::string("tokens = [\"hunter2]"), std::string("tokens: [hunter2]"),
        std::string("tokens = [“hunter2”]"), std::string("tokens = [\nhunter2\n]"),
        std::string("fingerprints = \"hunter2"), std::string("tokens \"hunter2\""),
        std::string("tokens = [\"hunter2\"")}) {
    const auto said = toldAbout(upload + line);
    EXPECT_FALSE(said.empty()) << line;
    for (const std::string& text : said) {
      EXPECT_THAT(text, testing::Not(testing::HasSubstr("hunter2"))) << line;
    }
  }
}

TEST(QuotedKey, PutsHostsAndPathsIntoQuotes) {
  EXPECT_EQ(quotedKey("sites.example.org"), "sites.\"example.org\"");
  EXPECT_EQ(quotedKey("sites.\"example.org\"./a/b.c"), "sites.\"example.org\".\"/a/b.c\"");
  EXPECT_EQ(quotedKey("sites.example.org/a.sites./b.upload"),
            "sites.\"example.org\".\"/a\".sites.\"/b\".upload");
  EXPECT_EQ(quotedKey("sites 'example.org' /"), "sites.\"example.org\".\"/\"");
  EXPECT_EQ(quotedKey("sites.*.example.org"), "sites.\"*.example.org\"");
  EXPECT_EQ(quotedKey("server"), "server");
  EXPECT_EQ(quotedKey(""), "");
  EXPECT_EQ(quotedKey("."), "");
}

/// HOME as it shall be while this lives.
class Home {
 public:
  explicit Home(const char* value) : before_(environmentVariable("HOME")) {
    value ? ::setenv("HOME", value, 1) : ::unsetenv("HOME");
  }
  ~Home() { ::setenv("HOME", before_.c_str(), 1); }
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;

 private:
  std::string before_;
};

TEST(HomeFolder, IsThatOfWhoeverStartsTheServer) {
  const Home home("/home/alice");
  const Config config =
      parseConfig(
          "tls.key = \"~/k\"\nlog.target = \"~/log\"\nrouter.module = \"~/r.so:R\"\n"
          "server.state_dir = \"~\"\ntls.certificate = \"a~/b\"",
          "/etc/e.toml")
          .config;
  EXPECT_EQ(config.tls.key, "/home/alice/k");
  EXPECT_EQ(config.log.target, "/home/alice/log");
  EXPECT_EQ(config.router.module, "/home/alice/r.so:R");
  EXPECT_EQ(config.server.stateDir, "/home/alice");
  EXPECT_EQ(config.tls.certificate, "/etc/a~/b");
}

TEST(HomeFolder, OfAnAccountIsInTheAccountDatabase) {
  const Config config = parseConfig("tls.key = \"~root/k\"", "/etc/e.toml").config;
  EXPECT_EQ(config.tls.key, "/root/k");
}

TEST(HomeFolder, ThatIsNotKnownIsToldOnceForEachKey) {
  for (const char* unset : {static_cast<const char*>(nullptr), "", "relative"}) {
    const Home home(unset);
    EXPECT_THAT(toldAbout("log.target = \"~/log\"\n[sites.\"a.b\"]\nroot = \"~/capsule\"\n"),
                ElementsAre("1: log.target: \"~\" is the home folder of whoever starts the server, "
                            "and HOME is not set; write the whole path",
                            "3: sites.\"a.b\".root: \"~\" is the home folder of whoever starts the "
                            "server, and HOME is not set; write the whole path"));
  }
}

}  // namespace
}  // namespace egalaxyd
