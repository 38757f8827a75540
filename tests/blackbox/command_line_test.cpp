// The command line: what is printed, and with which exit code.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "common/tls/certificate_files.h"
#include "common/tls/certificate_names.h"
#include "common/wire/machine_name.h"
#include "tests/support/capsule.h"
#include "tests/support/spartan_client.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

constexpr int kUsage = 64;
constexpr int kUnavailable = 69;
constexpr int kConfiguration = 78;

class CommandLine : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
    folder.write("index.gmi", "# Here\n");
  }

  Finished run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), programPath("egalaxyd"));
    return runProgram(std::move(arguments), folder.path());
  }
  /// --check of this configuration.
  Finished check(const std::string& toml) {
    folder.write("checked.toml", toml);
    return run({"--check", "--config", (folder / "checked.toml").string()});
  }

  TempDir folder;
};

const std::string kSite = "[sites.\"localhost\"]\nroot = \".\"\n";

TEST_F(CommandLine, PrintsItsVersionAndHelp) {
  const Finished version = run({"--version"});
  EXPECT_EQ(version.status.code, 0);
  EXPECT_THAT(version.out, HasSubstr("egalaxyd"));
  EXPECT_THAT(version.out, testing::ContainsRegex("[0-9]+\\.[0-9]+"));
  const Finished help = run({"--help"});
  EXPECT_EQ(help.status.code, 0);
  for (const char* option :
       {"--config", "--system", "--check", "--dump", "--host", "--cgi", "--port", "--no-listing",
        "--gemini", "--workers", "--state-dir", "--runtime-dir", "--user", "--listing",
        "--log-level", "--daemon", "--pidfile", "--version", "--help"}) {
    EXPECT_THAT(help.out, HasSubstr(option + 2));
  }
}

TEST_F(CommandLine, RefusesWhatItDoesNotKnow) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--no-such-option"},
                                             {"--gemini", "nonsense:port:1"},
                                             {"--workers", "many"},
                                             {"--log-level", "loud"},
                                             {"--host", "example.org:1965"},
                                             {"--port", "many"},
                                             {"--system", "."},
                                             {"one", "two"}}) {
    const Finished result = run(arguments);
    EXPECT_EQ(result.status.code, kUsage) << arguments[0] << "\n" << result.all();
    EXPECT_NE(result.err, "") << arguments[0];
  }
}

TEST_F(CommandLine, ChecksAGoodConfiguration) {
  const Finished result = check(kSite);
  EXPECT_EQ(result.status.code, 0) << result.all();
  EXPECT_FALSE(std::filesystem::exists(folder / "state")) << "a check leaves traces";
}

TEST_F(CommandLine, PrintsEveryComplaintAndTheNearestKey) {
  const Finished result = check(
      "[server]\nworkrs = 2\n[limits]\nrequest_timeout = \"10 parsecs\"\nconnections = \"many\"\n"
      "[sites.\"localhost\"]\nroot = \"nowhere\"\n");
  EXPECT_EQ(result.status.code, kConfiguration);
  for (const char* words : {"checked.toml", "workrs", "workers", "request_timeout", "10 parsecs",
                            "connections", "nowhere"}) {
    EXPECT_THAT(result.all(), HasSubstr(words));
  }
}

TEST_F(CommandLine, RefusesEveryKindOfBadConfiguration) {
  folder.write("file", "no folder");
  folder.write("garbage.pem", "not a certificate");
  makeTestCertificate().writePem(folder / "a.crt", folder / "a.key");
  makeTestCertificate().writePem(folder / "b.crt", folder / "b.key");
  const std::pair<const char*, std::string> cases[] = {
      {"not TOML", "[server\n"},
      {"unknown table", "[srver]\n" + kSite},
      {"bad duration", "limits.request_timeout = \"soon\"\n" + kSite},
      {"bad address", "listen.gemini = [\"localhost\"]\n" + kSite},
      {"bad level", "log.level = \"loud\"\n" + kSite},
      {"missing certificate", "tls.certificate = \"no.crt\"\ntls.key = \"a.key\"\n" + kSite},
      {"unreadable certificate",
       "tls.certificate = \"garbage.pem\"\ntls.key = \"a.key\"\n" + kSite},
      {"unreadable key", "tls.certificate = \"a.crt\"\ntls.key = \"garbage.pem\"\n" + kSite},
      {"key of another", "tls.certificate = \"a.crt\"\ntls.key = \"b.key\"\n" + kSite},
      {"certificate without key", "tls.certificate = \"a.crt\"\n" + kSite},
      {"missing library",
       "[sites.\"localhost\".\"/\"]\nmodule = \"plugin\"\nlibrary = \"no.so\"\nclass = \"x\"\n"},
      {"root holds the configuration and takes uploads",
       "[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \".\"\n"
       "[sites.\"localhost\".\"/\".upload]\nanyone = true\n"},
      {"unknown module", "[sites.\"localhost\".\"/\"]\nmodule = \"teleport\"\n"},
      {"unknown argument",
       "[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \".\"\nlistng = true\n"},
      {"unknown status",
       "[sites.\"localhost\".\"/\"]\nmodule = \"reply\"\nstatus = 21\nmeta = \"x\"\n"},
      {"alias twice", kSite + "[sites.\"b.test\"]\nroot = \".\"\naliases = [\"localhost\"]\n"},
  };
  for (const auto& [what, toml] : cases) {
    const Finished result = check(toml);
    EXPECT_EQ(result.status.code, kConfiguration) << what << "\n" << result.all();
    EXPECT_NE(result.all(), "") << what;
  }
}

TEST_F(CommandLine, DoesNotStartWithABadConfiguration) {
  folder.write("egalaxyd.toml", "limits.request_timeout = \"soon\"\n" + kSite);
  const Finished result = run({"--state-dir", (folder / "s").string()});
  EXPECT_EQ(result.status.code, kConfiguration) << result.all();
  EXPECT_THAT(result.all(), HasSubstr("egalaxyd.toml"));
  // It may be on a mount that comes later.
  EXPECT_EQ(run({"--config", "missing.toml"}).status.code, kUnavailable);
  EXPECT_EQ(run({"--check", "--config", "missing.toml"}).status.code, kConfiguration);
}

TEST_F(CommandLine, ComplainsOnceOfOneMistake) {
  const auto complaints = [&](const std::string& text) {
    folder.write("egalaxyd.toml", text);
    const Finished result = run({"--check", "--state-dir", (folder / "s").string()});
    EXPECT_EQ(result.status.code, kConfiguration) << text;
    std::istringstream lines(result.err);
    int count = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.find(": warning: ") == std::string::npos) ++count;
    }
    return count;
  };
  EXPECT_EQ(complaints("[sites.\"bad host\"]\nroot = \".\"\n"), 1);
  EXPECT_EQ(complaints("[sites.a.\"/\"]\nmodule = \"directory\"\n"), 1);
  EXPECT_EQ(complaints("[sites.a.\"/\"]\nmodule = \"file\"\n"), 1);
  EXPECT_EQ(complaints("[sites.a.\"/\"]\nmodul = \"directory\"\nroot = \".\"\n"), 1);
  EXPECT_EQ(complaints("[sites.a.\"/\"]\nmodule = \"reply\"\n"), 1);
  EXPECT_EQ(complaints("[sites.a.\"/\"]\nmodule = \"reply\"\nstatus = 99\n"), 1);
}

TEST_F(CommandLine, WarnsOfACertificateThatClientsMayRefuse) {
  const struct {
    CertificateWish wish;
    const char* expected;
  } cases[] = {{{.fromDays = -9, .toDays = -1}, "a.crt: the certificate expired at "},
               {{.fromDays = 1}, "a.crt: the certificate is valid from "},
               {{.key = KeyKind::kSecp256k1}, "on the curve secp256k1 that no client takes"}};
  for (const auto& each : cases) {
    makeTestCertificate(each.wish).writePem(folder / "a.crt", folder / "a.key");
    folder.write("egalaxyd.toml", "tls.certificate = \"a.crt\"\ntls.key = \"a.key\"\n" + kSite);
    const Finished result = run({"--check", "--state-dir", (folder / "s").string()});
    EXPECT_EQ(result.status.code, 0) << result.all();
    EXPECT_THAT(result.err, HasSubstr(each.expected));
    EXPECT_EQ(result.out, (folder / "egalaxyd.toml").string() + ": configuration OK\n");
  }
}

TEST_F(CommandLine, WarnsInTheFormOfComplaintsThatSomethingServesButShouldBeLookedAt) {
  makeTestCertificate({.commonName = "a.test", .toDays = 9})
      .writePem(folder / "a.crt", folder / "a.key");
  folder.write("egalaxyd.toml",
               "[tls]\ncertificate = \"a.crt\"\nkey = \"a.key\"\n"
               "[sites.\"b.test\"]\nroot = \".\"\n");
  const Finished result = run({"--check", "--state-dir", (folder / "s").string()});
  EXPECT_EQ(result.status.code, 0) << result.all();
  EXPECT_THAT(result.err,
              testing::ContainsRegex("egalaxyd: warning: .*egalaxyd.toml:2: tls.certificate: "));
  EXPECT_THAT(result.err, HasSubstr("a.crt: the certificate ends at 20"));
  EXPECT_THAT(result.err,
              testing::ContainsRegex("egalaxyd: warning: .*egalaxyd.toml:4: sites.\"b.test\": "));
  EXPECT_THAT(result.err, HasSubstr("a.crt does not name b.test: "));
  EXPECT_THAT(result.out, HasSubstr("configuration OK\n"));
}

TEST_F(CommandLine, DumpsAConfigurationThatLoadsBack) {
  folder.write("full.toml",
               "limits.request_timeout = \"1500ms\"\nlisten.gemini = [\"127.0.0.1:0\"]\n"
               "log.format = \"json\"\n" +
                   kSite +
                   "lang = \"en\"\n"
                   "[sites.\"*.wild.test\".\"/old\"]\nmodule = \"redirect\"\nto = \"/%path%\"\n");
  const Finished first = run({"--dump", "--config", (folder / "full.toml").string()});
  ASSERT_EQ(first.status.code, 0) << first.all();
  EXPECT_THAT(first.out, HasSubstr("*.wild.test"));
  folder.write("dumped.toml", first.out);
  const Finished checked = run({"--check", "--config", (folder / "dumped.toml").string()});
  EXPECT_EQ(checked.status.code, 0) << checked.all();
  EXPECT_EQ(run({"--dump", "--config", (folder / "dumped.toml").string()}).out, first.out);
}

/// A port of 127.0.0.1 that somebody else listens on.
class TakenPort {
 public:
  TakenPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 1), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  ~TakenPort() { ::close(fd_); }
  TakenPort(const TakenPort&) = delete;
  TakenPort& operator=(const TakenPort&) = delete;
  const std::string& port() const { return port_; }

 private:
  int fd_;
  std::string port_;
};

TEST_F(CommandLine, SaysThatAPortIsTakenAndWhichOptionHelps) {
  const TakenPort taken;
  const std::string address = "127.0.0.1:" + taken.port();
  const struct {
    std::vector<std::string> options;
    const char* help;
  } cases[] = {{{"--gemini", address, "--spartan", "off"}, "--port "},
               {{"--port", taken.port(), "--spartan", "off"}, "--port "},
               {{"--gemini", "127.0.0.1:0", "--spartan", address}, "--spartan off"},
               {{"--gemini", "127.0.0.1:0", "--titan", address}, "--titan off"}};
  for (const auto& each : cases) {
    std::vector<std::string> arguments{"--state-dir", (folder / "s").string(), "--runtime-dir",
                                       (folder / "r").string()};
    arguments.insert(arguments.end(), each.options.begin(), each.options.end());
    const Finished result = run(arguments);
    EXPECT_EQ(result.status.code, kUnavailable) << result.all();
    EXPECT_THAT(result.err, HasSubstr(taken.port()));
    EXPECT_THAT(result.err, HasSubstr(each.help));
    EXPECT_EQ(result.out, "") << "URLs of a server that does not serve";
  }
}

TEST_F(CommandLine, ChecksTheFileOfTheFolderAndSaysWhereThereIsNone) {
  const Finished none = run({"--check", "--state-dir", (folder / "s").string()});
  EXPECT_EQ(none.status.code, 0) << none.all();
  EXPECT_THAT(none.err, HasSubstr("there is no configuration file in " + folder.path().string()));
  folder.write("sub/egalaxyd.toml", "workrs = 2\n" + kSite);
  const Finished named = run({"--check", "sub"});
  EXPECT_EQ(named.status.code, kConfiguration);
  EXPECT_THAT(named.err, HasSubstr((folder / "sub/egalaxyd.toml").string()));
}

class ZeroConfiguration : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Here\n");
    capsule.page("sub/page.gmi", "# Page\n");
  }

  void start(std::vector<std::string> further = {}) {
    std::vector<std::string> arguments = {"--gemini",      "127.0.0.1:0",
                                          "--spartan",     "off",
                                          "--state-dir",   (capsule.dir() / "state").string(),
                                          "--runtime-dir", (capsule.dir() / "run").string()};
    arguments.insert(arguments.end(), further.begin(), further.end());
    capsule.startWith(arguments, capsule.root());
  }

  std::string fingerprint() {
    GeminiClient client(capsule.port());
    EXPECT_TRUE(client.handshake()) << client.error();
    return client.serverFingerprint();
  }

  Capsule capsule;
};

TEST_F(ZeroConfiguration, ServesTheWorkingFolderAndPrintsItsUrls) {
  start();
  EXPECT_EQ(capsule.get("/").body, "# Here\n");
  EXPECT_EQ(capsule.get("/sub/page.gmi").body, "# Page\n");
  EXPECT_THAT(capsule.out(), HasSubstr(capsule.url("/")));
}

TEST_F(ZeroConfiguration, ServesAFolderThatIsNamed) {
  start({(capsule.root() / "sub").string()});
  EXPECT_EQ(capsule.get("/page.gmi").body, "# Page\n");
}

TEST_F(ZeroConfiguration, MakesACertificateOnce) {
  start();
  const std::string first = fingerprint();
  capsule.stop();
  start();
  EXPECT_EQ(fingerprint(), first);
}

TEST_F(ZeroConfiguration, UsesTheCertificateInTheFolder) {
  const TestCertificate own = makeTestCertificate({.commonName = "localhost"});
  own.writePem(capsule.root() / "server.crt", capsule.root() / "server.key");
  start();
  EXPECT_EQ(fingerprint(), certificateFingerprint(own.certificate.get()));
}

TEST_F(ZeroConfiguration, NeverServesTheKeyInTheFolder) {
  makeTestCertificate().writePem(capsule.root() / "server.crt", capsule.root() / "server.key");
  start();
  EXPECT_EQ(capsule.get("/server.key").status, 51);
}

TEST_F(ZeroConfiguration, ListsFoldersUnlessToldNotTo) {
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{}, std::vector<std::string>{"--listing"}}) {
    start(options);
    EXPECT_THAT(capsule.get("/sub/").body, HasSubstr("page.gmi"));
    capsule.stop();
  }
  start({"--no-listing"});
  EXPECT_EQ(capsule.get("/sub/").status, 51);
}

TEST_F(ZeroConfiguration, AnswersEveryHostNameAndAddress) {
  start({"--spartan", "127.0.0.1:0"});
  std::set<std::string> certificates;
  for (const std::string host :
       {"localhost", "127.0.0.1", "[::1]", "192.168.1.20", "capsule.example", "a.b.c.example"}) {
    TlsSettings settings;
    const bool literal = host[0] == '[' || std::isdigit(static_cast<unsigned char>(host[0])) != 0;
    settings.serverName = literal ? std::nullopt : std::optional(host);
    EXPECT_EQ(fetch(capsule.port(), capsule.url("/", host), settings).body, "# Here\n") << host;
    GeminiClient client(capsule.port(), settings);
    EXPECT_TRUE(client.handshake()) << client.error();
    certificates.insert(client.serverFingerprint());
    const SpartanReply spartan = askSpartan(capsule.spartanPort(), host + " / 0\r\n");
    EXPECT_EQ(spartan.body, "# Here\n") << host << spartan;
  }
  EXPECT_EQ(certificates.size(), 1U);
}

TEST_F(ZeroConfiguration, HasACertificateForThisMachinesNames) {
  start();
  GeminiClient client(capsule.port());
  ASSERT_TRUE(client.handshake());
  const auto certificate = readCertificates(capsule.dir() / "state/certificates/localhost.crt");
  ASSERT_TRUE(certificate.ok()) << certificate.error().message;
  const auto names = certificateNames(certificate->front().get());
  for (const std::string& name :
       {std::string("localhost"), machineName(), std::string("127.0.0.1"), std::string("::1")}) {
    EXPECT_THAT(names, testing::Contains(name));
  }
  EXPECT_THAT(capsule.out(),
              HasSubstr("certificates/localhost.crt, SHA-256 " + client.serverFingerprint()));
}

TEST_F(ZeroConfiguration, PrintsUrlsThatAnswerAlone) {
  start({"--host", "localhost", "--host", "nowhere.invalid", "--host", "127.0.0.2"});
  std::vector<std::string> plain;
  std::istringstream lines(capsule.out());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("gemini://") && line.ends_with("/")) plain.push_back(line);
  }
  EXPECT_THAT(plain, testing::ElementsAre(capsule.url("/")));
  EXPECT_THAT(capsule.out(), HasSubstr("nowhere.invalid:" + std::to_string(capsule.port()) +
                                       "/ (not reached from here: "));
  EXPECT_THAT(capsule.out(), HasSubstr("127.0.0.2 leads to 127.0.0.2: Connection refused)"));
  EXPECT_EQ(capsule.log().find("nowhere.invalid"), std::string::npos);
}

TEST_F(ZeroConfiguration, PrintsTheAddressThatItWasToldToListenOn) {
  capsule.startWith(
      {"--gemini", "127.0.0.5:0", "--spartan", "off", "--state-dir",
       (capsule.dir() / "state").string(), "--runtime-dir", (capsule.dir() / "run").string()},
      capsule.root());
  EXPECT_THAT(capsule.out(), HasSubstr("gemini://127.0.0.5:"));
  EXPECT_EQ(capsule.out().find("gemini://localhost"), std::string::npos) << capsule.out();
}

TEST_F(ZeroConfiguration, TakesADifferentPort) {
  start({"--port", "0"});
  const std::string url = "gemini://localhost:" + std::to_string(capsule.port(1)) + "/";
  EXPECT_EQ(fetch(capsule.port(1), url).status, 20);
}

TEST_F(ZeroConfiguration, SaysWhichCertificateItFound) {
  makeTestCertificate().writePem(capsule.root() / "server.crt", capsule.root() / "server.key");
  start();
  EXPECT_TRUE(
      capsule.logContains("the certificate is " + (capsule.root() / "server.crt").string()));
  EXPECT_THAT(capsule.out(), HasSubstr("Certificate " + (capsule.root() / "server.crt").string()));
  capsule.stop();
  std::filesystem::remove(capsule.root() / "server.crt");
  start();
  EXPECT_TRUE(capsule.logContains("server.key is not used: there is no server.crt beside it"));
  EXPECT_EQ(capsule.get("/server.key").status, 51);
}

TEST_F(ZeroConfiguration, ServesByTheFileOfAFolderThatIsNamed) {
  capsule.dir().write("root/sub/egalaxyd.toml", "[sites.\"*\"]\nroot = \".\"\nlang = \"eo\"\n");
  start({(capsule.root() / "sub").string()});
  EXPECT_THAT(capsule.get("/page.gmi").meta, HasSubstr("lang=eo"));
  EXPECT_THAT(capsule.out(), HasSubstr((capsule.root() / "sub/egalaxyd.toml").string()));
}

/// Every link of every page that can be reached from `url`; those that lead to another host are
/// left.
void walk(const Capsule& capsule, const std::string& path, std::set<std::string>& seen) {
  if (!seen.insert(path).second) return;
  const Reply reply = capsule.get(path);
  EXPECT_EQ(reply.status, 20) << path << ": " << reply.header;
  if (!reply.meta.starts_with("text/gemini")) return;
  std::istringstream lines(reply.body);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("=>")) continue;
    std::string target;
    std::istringstream(line.substr(2)) >> target;
    if (target.find("://") != std::string::npos) continue;
    const auto base = std::filesystem::path(path).parent_path();
    walk(capsule, (base / target).lexically_normal().string(), seen);
  }
}

TEST_F(ZeroConfiguration, LeavesNoLinkOfTheExampleDead) {
  start({EGALAXYD_EXAMPLE_CAPSULE});
  std::set<std::string> seen;
  walk(capsule, "/", seen);
  EXPECT_GT(seen.size(), 20U);
}

TEST_F(ZeroConfiguration, ServesTheNamesThatAreGiven) {
  start({"--host", "one.test", "--host", "two.test"});
  for (const char* host : {"one.test", "two.test"}) {
    TlsSettings settings;
    settings.serverName = host;
    EXPECT_EQ(fetch(capsule.port(), capsule.url("/", host), settings).status, 20) << host;
  }
  EXPECT_THAT(capsule.out(), HasSubstr("gemini://one.test:"));
}

TEST_F(ZeroConfiguration, StartsAsManyWorkersAsAsked) {
  start({"--workers", "3"});
  EXPECT_EQ(capsule.workerPids().size(), 3U);
}

TEST_F(ZeroConfiguration, RefusesASecondServerOnItsState) {
  start();
  const Finished second = runProgram(
      {programPath("egalaxyd"), "--gemini", "127.0.0.1:0", "--spartan", "off", "--state-dir",
       (capsule.dir() / "state").string(), "--runtime-dir", (capsule.dir() / "run2").string()},
      capsule.root());
  EXPECT_GT(second.status.code, 0) << second.all();
  EXPECT_THAT(second.all(), HasSubstr((capsule.dir() / "state").string()));
  EXPECT_EQ(capsule.get("/").status, 20);
}

TEST_F(ZeroConfiguration, TakesItsFoldersFromTheEnvironment) {
  capsule.startWith({"--gemini", "127.0.0.1:0", "--spartan", "off"}, capsule.root(),
                    {{"STATE_DIRECTORY", (capsule.dir() / "env-state").string()},
                     {"RUNTIME_DIRECTORY", (capsule.dir() / "env-run").string()}});
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_TRUE(std::filesystem::exists(capsule.dir() / "env-state/certificates"));
}

}  // namespace
}  // namespace egalaxyd
