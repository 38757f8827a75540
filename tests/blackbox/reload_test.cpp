// What a reload changes, and what it must not touch.
#include <Poco/JSON/Array.h>
#include <Poco/JSON/Parser.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "common/tls/certificate_names.h"
#include "tests/blackbox/ask_json.h"
#include "tests/support/capsule.h"
#include "tests/support/control_client.h"
#include "tests/support/load.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

/// A control client that asks for the totals all the time and notes each that goes backwards.
class TotalsWatch {
 public:
  explicit TotalsWatch(const std::filesystem::path& socket)
      : client_(socket), thread_([this] {
          while (!stopping_) look();
        }) {}
  ~TotalsWatch() { stop(); }
  TotalsWatch(const TotalsWatch&) = delete;
  TotalsWatch& operator=(const TotalsWatch&) = delete;

  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // After stop():
  const std::string& backwards() const { return backwards_; }
  std::size_t looks() const { return looks_; }

 private:
  void look() {
    client_.send("{\"v\":1,\"command\":\"stats\"}\n");
    const std::string line = client_.line();
    if (!line.starts_with("{\"ok\":true")) {
      backwards_ += "no totals: " + line + "\n";
      stopping_ = true;
      return;
    }
    const auto answer = Poco::JSON::Parser().parse(line).extract<Object::Ptr>();
    for (const auto& [name, value] : *answer->getObject("totals")) {
      const auto now = value.convert<std::uint64_t>();
      if (now < last_[name]) {
        backwards_ +=
            name + ": " + std::to_string(now) + " after " + std::to_string(last_[name]) + "\n";
      }
      last_[name] = now;
    }
    ++looks_;
  }

  ControlClient client_;
  std::map<std::string, std::uint64_t> last_;
  std::string backwards_;
  std::size_t looks_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

class Reload : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# One\n");
    capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
  }
  std::string spartanUrl() const {
    return "spartan://localhost:" + std::to_string(capsule.spartanPort()) + "/";
  }
  Object::Ptr status() const { return askJson(capsule, {"status"}); }
  /// The port of the listener on that address; 0 when there is none.
  std::uint16_t portOn(const std::string& host) const {
    const auto listeners = status()->getArray("listeners");
    for (const auto& each : *listeners) {
      const auto address = each.extract<Object::Ptr>()->getValue<std::string>("address");
      if (!address.starts_with(host + ":")) continue;
      return static_cast<std::uint16_t>(std::stoi(address.substr(host.size() + 1)));
    }
    return 0;
  }
  void reload() {
    capsule.writeConfig();
    const Finished done = capsule.ctl({"reload"});
    ASSERT_EQ(done.status.code, 0) << done.all();
  }
  void useCertificate(const TestCertificate& made) {
    made.writePem(capsule.dir() / "own.crt", capsule.dir() / "own.key");
    capsule.set("tls.certificate", "\"own.crt\"");
    capsule.set("tls.key", "\"own.key\"");
  }
  std::string servedFingerprint() const {
    GeminiClient client(capsule.port());
    EXPECT_TRUE(client.handshake()) << client.error();
    return client.serverFingerprint();
  }

  Capsule capsule;
};

std::string fingerprintOf(const TestCertificate& made) {
  return certificateFingerprint(made.certificate.get());
}

/// That client, which has shaken hands already, is answered as if nothing had happened.
void expectServed(GeminiClient& client, const std::string& url) {
  client.send(url + "\r\n");
  const Reply reply = client.readReply();
  EXPECT_EQ(reply.status, 20) << reply;
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(Reload, AndRestartFailNoRequestAndTotalsOnlyGrow) {
  capsule.start();
  TotalsWatch totals(capsule.controlSocket());
  Load gemini(capsule.port(), capsule.url("/"), 4);
  Load spartan(capsule.spartanPort(), spartanUrl(), 4);
  const auto bothServe = [&] { return gemini.waitForServed(4) && spartan.waitForServed(4); };
  ASSERT_TRUE(bothServe());
  for (int i = 0; i < 20; ++i) {
    const Finished reload = capsule.ctl({"reload"});
    ASSERT_EQ(reload.status.code, 0) << reload.all();
    ASSERT_TRUE(bothServe()) << gemini.failures() << spartan.failures();
  }
  for (int i = 0; i < 3; ++i) {
    const std::vector<pid_t> before = capsule.workerPids();
    const Finished restart = capsule.ctl({"worker", "restart", "all"});
    ASSERT_EQ(restart.status.code, 0) << restart.all();
    ASSERT_TRUE(eventually([&] { return capsule.workerPids().size() == 2; })) << capsule.log();
    for (const pid_t worker : capsule.workerPids()) EXPECT_THAT(before, Not(Contains(worker)));
    ASSERT_TRUE(bothServe()) << gemini.failures() << spartan.failures();
  }
  gemini.stop();
  spartan.stop();
  totals.stop();
  EXPECT_EQ(gemini.failed() + spartan.failed(), 0U) << gemini.failures() << spartan.failures();
  EXPECT_EQ(totals.backwards(), "");
  EXPECT_GT(totals.looks(), 0U);
  const std::string all = "\"requests\": " + std::to_string(gemini.served() + spartan.served());
  EXPECT_TRUE(eventually([&] {
    return capsule.ctl({"--json", "stats"}).out.find(all) != std::string::npos;
  })) << all;
}

TEST_F(Reload, BindsNewAddressesClosesOldOnesAndLeavesTheRestAlone) {
  capsule.set("listen.gemini", R"(["127.0.0.1:0", "127.0.0.2:0"])");
  capsule.start();
  const std::uint16_t removed = portOn("127.0.0.2");
  TlsSettings second;
  second.tcp.address = "127.0.0.2";
  GeminiClient held(removed, second);
  ASSERT_TRUE(held.handshake()) << held.error();
  Load gemini(capsule.port(), capsule.url("/"), 3);
  Load spartan(capsule.spartanPort(), spartanUrl(), 2);
  ASSERT_TRUE(gemini.waitForServed(5) && spartan.waitForServed(5));

  capsule.set("listen.gemini", R"(["127.0.0.1:0", "127.0.0.3:0"])");
  reload();

  TlsSettings third;
  third.tcp.address = "127.0.0.3";
  const std::uint16_t added = portOn("127.0.0.3");
  ASSERT_NE(added, 0);
  const std::string url = "gemini://localhost:" + std::to_string(added) + "/";
  EXPECT_EQ(fetch(added, url, third).status, 20);
  EXPECT_EQ(portOn("127.0.0.2"), 0);
  EXPECT_EQ(TcpClient(removed, second.tcp).ending(), Ending::kReset);
  expectServed(held, "gemini://localhost:" + std::to_string(removed) + "/");
  ASSERT_TRUE(gemini.waitForServed(5) && spartan.waitForServed(5));
  gemini.stop();
  spartan.stop();
  EXPECT_EQ(gemini.failed() + spartan.failed(), 0U) << gemini.failures() << spartan.failures();
}

TEST_F(Reload, ServesAChangedCertificateToNewConnectionsOnly) {
  const TestCertificate before = makeTestCertificate({.commonName = "before"});
  const TestCertificate after = makeTestCertificate({.commonName = "after"});
  useCertificate(before);
  capsule.start();
  EXPECT_EQ(servedFingerprint(), fingerprintOf(before));
  GeminiClient held(capsule.port());
  ASSERT_TRUE(held.handshake()) << held.error();
  Load load(capsule.port(), capsule.url("/"), 3);
  ASSERT_TRUE(load.waitForServed(5));

  useCertificate(after);
  reload();

  for (int i = 0; i < 8; ++i) EXPECT_EQ(servedFingerprint(), fingerprintOf(after));
  EXPECT_EQ(held.serverFingerprint(), fingerprintOf(before));
  expectServed(held, capsule.url("/"));
  load.stop();
  EXPECT_EQ(load.failed(), 0U) << load.failures();
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

/// A configuration that must not come into force, and all that has to be said of it.
struct Bad {
  std::string configuration;
  std::vector<std::string> told;
};

TEST_F(Reload, TellsEveryComplaintAboutABadConfigurationAndChangesNothing) {
  const TestCertificate certificate = makeTestCertificate();
  useCertificate(certificate);
  capsule.start();
  const std::vector<pid_t> workers = capsule.workerPids();
  const std::string good = capsule.configText();
  const std::string taken = "127.0.0.1:" + std::to_string(capsule.spartanPort());
  const std::string nowhere =
      "[sites.\"other.test\"]\nroot = \"root\"\ncertificate = \"nowhere\"\nkey = \"nowhere\"\n";
  const std::vector<Bad> bads{
      {"[server\n", {"egalaxyd.toml:1"}},
      {"server.wrokers = 3\n" + good,
       {"egalaxyd.toml:1: server.wrokers", "did you mean \"workers\"?"}},
      {good + nowhere, {"nowhere"}},
      {"limits.connections = -1\n" + good + nowhere, {"limits.connections", "nowhere"}},
      {replaced(good, "own.crt", "missing.crt"), {"missing.crt"}},
      {replaced(good, "own.key", "egalaxyd.toml"), {"egalaxyd.toml", "key"}},
      {"listen.titan = [\"" + taken + "\"]\n" + good, {taken}}};
  Load load(capsule.port(), capsule.url("/"), 2);
  for (const Bad& bad : bads) {
    capsule.dir().write("egalaxyd.toml", bad.configuration);
    const std::size_t mark = capsule.logMark();
    const Finished reload = capsule.ctl({"reload"});
    EXPECT_EQ(reload.status.code, 1) << bad.configuration;
    EXPECT_THAT(reload.err, HasSubstr("reload failed: generation 1 serves on"));
    const std::string status = capsule.ctl({"status"}).out;
    EXPECT_THAT(status, HasSubstr("the last reload failed:"));
    EXPECT_THAT(status, HasSubstr("generation 1"));
    for (const std::string& text : bad.told) {
      EXPECT_THAT(reload.err, HasSubstr(text)) << bad.configuration;
      EXPECT_THAT(status, HasSubstr(text)) << bad.configuration;
      EXPECT_TRUE(capsule.waitForLog(text, mark)) << text << capsule.log();
    }
    EXPECT_EQ(servedFingerprint(), fingerprintOf(certificate));
    EXPECT_EQ(capsule.get("/").body, "# One\n");
    EXPECT_EQ(capsule.workerPids(), workers);
  }
  reload();
  EXPECT_THAT(capsule.ctl({"status"}).out, Not(HasSubstr("the last reload failed")));
  load.stop();
  EXPECT_EQ(load.failed(), 0U) << load.failures();
}

}  // namespace
}  // namespace egalaxyd
