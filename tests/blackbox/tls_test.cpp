// Handshakes of every kind, and what they must not do to others.
#include <gtest/gtest.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <set>
#include <string>
#include <vector>

#include "common/tls/certificate_names.h"
#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

class Tls : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Welcome\n");
    capsule.dir().write("other/index.gmi", "# Other\n");
    capsule.dir().write("wild/index.gmi", "# Wild\n");
  }

  void serveThreeHosts() {
    capsule.sites(R"(
[sites."localhost"]
root = "root"
[sites."other.test"]
root = "other"
[sites."*.wild.test"]
root = "wild"
)");
  }

  std::string fingerprintFor(std::optional<std::string> serverName) {
    TlsSettings settings;
    settings.serverName = std::move(serverName);
    GeminiClient client(capsule.port(), settings);
    EXPECT_TRUE(client.handshake()) << client.error();
    return client.serverFingerprint();
  }

  void expectServed() {
    const Reply reply = capsule.get("/");
    EXPECT_EQ(reply.status, 20) << reply;
    EXPECT_TRUE(reply.complete()) << reply;
  }

  Capsule capsule;
};

TlsSettings exactly(int version) {
  TlsSettings settings;
  settings.minVersion = version;
  settings.maxVersion = version;
  return settings;
}

TlsSettings named(std::optional<std::string> serverName) {
  TlsSettings settings;
  settings.serverName = std::move(serverName);
  return settings;
}

TEST_F(Tls, SpeaksVersions12And13) {
  capsule.start();
  EXPECT_EQ(capsule.get("/", exactly(TLS1_2_VERSION)).status, 20);
  EXPECT_EQ(capsule.get("/", exactly(TLS1_3_VERSION)).status, 20);
}

TEST_F(Tls, RefusesVersion11WithAnAlert) {
  capsule.start();
  GeminiClient client(capsule.port(), exactly(TLS1_1_VERSION));
  EXPECT_FALSE(client.handshake());
  EXPECT_NE(client.error().find("protocol version"), std::string::npos) << client.error();
  expectServed();
}

TEST_F(Tls, RefusesVersion12WhereTheConfigurationSaysSo) {
  capsule.set("tls.min_version", "\"1.3\"");
  capsule.start();
  GeminiClient client(capsule.port(), exactly(TLS1_2_VERSION));
  EXPECT_FALSE(client.handshake());
  EXPECT_EQ(capsule.get("/", exactly(TLS1_3_VERSION)).status, 20);
}

TEST_F(Tls, TakesEveryGroupAndRetriesTheHello) {
  capsule.start();
  for (const char* groups : {"X25519", "P-256", "P-384:P-256", "P-521:X25519", "P-521",
                             "X448:P-256", "ffdhe2048:X25519"}) {
    TlsSettings settings;
    settings.groups = groups;
    const Reply reply = capsule.get("/", settings);
    EXPECT_EQ(reply.status, 20) << groups << ": " << reply;
  }
}

TEST_F(Tls, NeverResumesASession) {
  capsule.start();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    GeminiClient first(capsule.port(), exactly(version));
    ASSERT_TRUE(first.handshake());
    first.send(capsule.url("/") + "\r\n");
    EXPECT_EQ(first.readReply().status, 20);
    EXPECT_EQ(first.tickets(), 0);
    SSL_SESSION* session = SSL_get1_session(first.ssl());
    TlsSettings again = exactly(version);
    again.resume = session;
    GeminiClient second(capsule.port(), again);
    ASSERT_TRUE(second.handshake()) << second.error();
    EXPECT_FALSE(second.resumed());
    second.send(capsule.url("/") + "\r\n");
    EXPECT_EQ(second.readReply().status, 20);
    SSL_SESSION_free(session);
  }
}

TEST_F(Tls, RefusesRenegotiation) {
  capsule.set("limits.request_timeout", "\"3s\"");
  capsule.start();
  GeminiClient client(capsule.port(), exactly(TLS1_2_VERSION));
  ASSERT_TRUE(client.handshake());
  EXPECT_FALSE(client.renegotiate());
  expectServed();
}

TEST_F(Tls, RefusesACertificateThatIsTooLargeAndServesTheOthers) {
  capsule.start();
  const TestCertificate usual = makeTestCertificate({.padding = 6 * 1024});
  const TestCertificate huge = makeTestCertificate({.padding = 16 * 1024});
  TlsSettings settings;
  settings.certificate = &usual;
  EXPECT_EQ(capsule.get("/", settings).status, 20);
  settings.certificate = &huge;
  const Reply refused = capsule.get("/", settings);
  EXPECT_EQ(refused.status, 0) << refused;
  EXPECT_NE(refused.ending, Ending::kTimedOut);
  expectServed();
}

TEST_F(Tls, ChoosesTheCertificateByTheNameInTheHello) {
  serveThreeHosts();
  capsule.start();
  const std::string localhost = fingerprintFor("localhost");
  const std::string other = fingerprintFor("other.test");
  const std::string wild = fingerprintFor("a.wild.test");
  EXPECT_EQ(std::set<std::string>({localhost, other, wild}).size(), 3U);
  EXPECT_EQ(fingerprintFor("LOCALHOST"), localhost);
  EXPECT_EQ(fingerprintFor("Other.Test"), other);
  EXPECT_EQ(fingerprintFor("b.wild.test"), wild);
  EXPECT_NE(fingerprintFor("a.b.wild.test"), wild);
  EXPECT_NE(fingerprintFor("badother.test"), other);
}

TEST_F(Tls, FinishesTheHandshakeWithoutAKnownName) {
  serveThreeHosts();
  capsule.start();
  const std::string unnamed = fingerprintFor(std::nullopt);
  EXPECT_EQ(fingerprintFor("elsewhere.example"), unnamed);
  EXPECT_EQ(exchange(capsule.port(), "gemini://elsewhere.example/\r\n", named("elsewhere.example"))
                .status,
            53);
}

TEST_F(Tls, ServesAClientThatSendsNoName) {
  capsule.start();
  EXPECT_EQ(capsule.get("/", named(std::nullopt)).status, 20);
  EXPECT_EQ(capsule.get("/", named("LOCALHOST")).status, 20);
}

TEST_F(Tls, RefusesAUrlOfAnotherHostThanTheHandshakes) {
  serveThreeHosts();
  capsule.start();
  const auto statusOf = [&](const std::string& serverName, const std::string& host) {
    return fetch(capsule.port(), capsule.url("/", host), named(serverName)).status;
  };
  EXPECT_EQ(statusOf("localhost", "localhost"), 20);
  EXPECT_EQ(statusOf("other.test", "OTHER.test"), 20);
  EXPECT_EQ(statusOf("a.wild.test", "a.wild.test"), 20);
  EXPECT_EQ(statusOf("other.test", "localhost"), 53);
  EXPECT_EQ(statusOf("localhost", "other.test"), 53);
  EXPECT_EQ(statusOf("a.wild.test", "b.wild.test"), 53);
  EXPECT_EQ(statusOf("elsewhere.example", "localhost"), 53);
}

TEST_F(Tls, ShowsPublicPagesWhateverTheClientsCertificate) {
  capsule.start();
  const struct {
    const char* what;
    CertificateWish wish;
  } kinds[] = {{"P-256", {}},
               {"P-384", {.key = KeyKind::kP384}},
               {"P-521", {.key = KeyKind::kP521}},
               {"Ed25519", {.key = KeyKind::kEd25519}},
               {"RSA-1024", {.key = KeyKind::kRsa1024}},
               {"RSA-2048", {.key = KeyKind::kRsa2048}},
               {"expired", {.fromDays = -20, .toDays = -10}},
               {"not yet valid", {.fromDays = 10, .toDays = 20}},
               {"broken signature", {.foreignSignature = true}},
               {"no name", {.commonName = ""}},
               {"UTF-8 name", {.commonName = "\xC3\x89milie"}},
               {"version 1", {.key = KeyKind::kRsa2048, .version1 = true}}};
  for (const auto& kind : kinds) {
    const TestCertificate certificate = makeTestCertificate(kind.wish);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      TlsSettings settings = exactly(version);
      settings.certificate = &certificate;
      const Reply reply = capsule.get("/", settings);
      EXPECT_EQ(reply.status, 20) << kind.what << ": " << reply;
      EXPECT_TRUE(reply.complete()) << kind.what << ": " << reply;
    }
  }
}

TEST_F(Tls, TakesAHelloInOneByteSegments) {
  capsule.start();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsSettings settings = exactly(version);
    settings.segment = 1;
    const Reply reply = capsule.get("/", settings);
    EXPECT_EQ(reply.status, 20) << reply;
    EXPECT_TRUE(reply.complete()) << reply;
  }
}

TEST_F(Tls, DropsWhoDoesNotSpeakTls) {
  capsule.start();
  using namespace std::string_literals;
  for (const std::string& words :
       {capsule.url("/") + "\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"s,
        std::string(5000, '\xFF'), "\x16\x03\x01\xFF\xFF"s + std::string(70'000, 'x'),
        "\x80\x2E\x01\x00\x02"s + std::string(100, '\0')}) {
    TcpClient client(capsule.port());
    client.send(words);
    const std::string said = client.receiveAll();
    EXPECT_NE(client.ending(), Ending::kTimedOut);
    EXPECT_EQ(said.find("20 "), std::string::npos);
    EXPECT_LT(said.size(), 100U) << "more than an alert";
  }
  expectServed();
}

TEST_F(Tls, ServesOthersWhileHandshakesAreStuck) {
  capsule.start();
  GeminiClient half(capsule.port());
  const std::string hello = half.takeHello();
  half.tcp().send(hello.substr(0, hello.size() / 2));
  TcpClient silent(capsule.port());
  GeminiClient unfinished(capsule.port());
  unfinished.tcp().send(unfinished.takeHello());
  EXPECT_NE(unfinished.tcp().receive(), "");
  for (int i = 0; i < 5; ++i) expectServed();
}

TEST_F(Tls, SurvivesARstInTheHandshake) {
  capsule.start();
  const std::vector<pid_t> workers = capsule.workerPids();
  for (int i = 0; i < 10; ++i) {
    GeminiClient client(capsule.port());
    const std::string hello = client.takeHello();
    client.tcp().send(hello.substr(0, i % 2 == 0 ? hello.size() : hello.size() / 2));
    if (i % 4 == 0) client.tcp().receive();
    client.tcp().reset();
  }
  expectServed();
  EXPECT_EQ(capsule.workerPids(), workers);
}

TEST_F(Tls, EndsWithAClientThatLeavesAfterTheHandshake) {
  capsule.start();
  GeminiClient polite(capsule.port());
  ASSERT_TRUE(polite.handshake());
  polite.closeNotify();
  const Reply reply = polite.readReply();
  EXPECT_EQ(reply.header, "") << reply;
  EXPECT_EQ(reply.ending, Ending::kClosed) << reply;
  GeminiClient brusque(capsule.port());
  ASSERT_TRUE(brusque.handshake());
  brusque.tcp().finish();
  EXPECT_NE(brusque.readReply().ending, Ending::kTimedOut);
  expectServed();
}

class AutomaticCertificate : public Tls {
 protected:
  std::vector<std::filesystem::path> filesOfKind(bool keys) const {
    std::vector<std::filesystem::path> found;
    for (const auto& entry :
         std::filesystem::directory_iterator(capsule.dir() / "state/certificates")) {
      const std::string text = readAll(entry.path());
      const bool isKey = text.find("PRIVATE KEY") != std::string::npos;
      if (isKey == keys) found.push_back(entry.path());
    }
    return found;
  }
};

TEST_F(AutomaticCertificate, IsVersion3WithTheHostsNamesAndALongLife) {
  capsule.sites("[sites.\"localhost\"]\nroot = \"root\"\naliases = [\"alias.test\"]\n");
  capsule.start();
  GeminiClient client(capsule.port());
  ASSERT_TRUE(client.handshake());
  const X509* certificate = client.serverCertificate();
  EXPECT_EQ(X509_get_version(certificate), X509_VERSION_3);
  const std::vector<std::string> names = certificateNames(certificate);
  EXPECT_NE(std::find(names.begin(), names.end(), "localhost"), names.end());
  EXPECT_NE(std::find(names.begin(), names.end(), "alias.test"), names.end());
  EXPECT_LT(certificateNotBefore(certificate), std::chrono::system_clock::now());
  tm until{};
  ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &until);
  EXPECT_EQ(until.tm_year + 1900, 4096);
  EXPECT_EQ(EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)), EVP_PKEY_EC);
}

TEST_F(AutomaticCertificate, IsMadeOnceAndKept) {
  capsule.start();
  const std::string first = fingerprintFor("localhost");
  capsule.reload();
  EXPECT_EQ(fingerprintFor("localhost"), first);
  capsule.stop();
  capsule.start();
  EXPECT_EQ(fingerprintFor("localhost"), first);
}

TEST_F(AutomaticCertificate, HasAKeyThatOnlyItsOwnerReads) {
  capsule.start();
  const auto keys = filesOfKind(true);
  ASSERT_FALSE(keys.empty());
  for (const auto& key : keys) {
    struct stat status {};
    ASSERT_EQ(::stat(key.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << key;
  }
}

TEST_F(AutomaticCertificate, GivesWayToAConfiguredOne) {
  const TestCertificate own = makeTestCertificate({.commonName = "localhost"});
  own.writePem(capsule.dir() / "own.crt", capsule.dir() / "own.key");
  capsule.sites(
      "[sites.\"localhost\"]\nroot = \"root\"\ncertificate = \"own.crt\"\nkey = \"own.key\"\n");
  capsule.start();
  EXPECT_EQ(fingerprintFor("localhost"), certificateFingerprint(own.certificate.get()));
}

}  // namespace
}  // namespace egalaxyd
