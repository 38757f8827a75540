// How often a client may ask, and who counts as one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/base/sha256.h"
#include "common/tls/certificate_names.h"
#include "tests/support/capsule.h"
#include "tests/support/spartan_client.h"

namespace egalaxyd {
namespace {

class RateLimit : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Welcome\n");
    capsule.set("rate_limit.enabled", "true");
    capsule.set("rate_limit.penalty", "\"1h\"");
    capsule.set("rate_limit.per", "\"1h\"");
  }

  int statusFrom(const std::string& address) {
    TlsSettings settings;
    settings.tcp.from = address;
    return capsule.get("/", settings).status;
  }

  Capsule capsule;
};

TEST_F(RateLimit, LetsExactlyTheAllowedNumberPassWhicheverWorkerAnswers) {
  capsule.set("rate_limit.requests", "100");
  capsule.set("limits.connections_per_ip", "0");
  capsule.start();
  std::atomic<int> passed = 0;
  std::atomic<int> refused = 0;
  std::vector<std::jthread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&] {
      for (int i = 0; i < 250; ++i) {
        const Reply reply = capsule.get("/");
        if (reply.status == 20) ++passed;
        // Of a flood, some are told to wait, the others are closed.
        if (reply.status == 44 || reply.status == 0) ++refused;
      }
    });
  }
  clients.clear();
  EXPECT_EQ(passed, 100);
  EXPECT_EQ(refused, 900);
}

TEST_F(RateLimit, CountsWhatIsRefusedAndHandshakesWithoutARequest) {
  capsule.set("rate_limit.requests", "4");
  capsule.start();
  EXPECT_EQ(exchange(capsule.port(), "nonsense\r\n").status, 59);
  EXPECT_EQ(exchange(capsule.port(), "gemini://elsewhere.test/\r\n").status, 53);
  EXPECT_TRUE(GeminiClient(capsule.port()).handshake());
  {
    GeminiClient hello(capsule.port());
    hello.tcp().send(hello.takeHello());
    EXPECT_NE(hello.tcp().receive(), "");
  }
  const Reply reply = capsule.get("/");
  EXPECT_EQ(reply.status, 44) << reply;
  EXPECT_EQ(exchange(capsule.port(), "nonsense\r\n").status, 44);
}

TEST_F(RateLimit, DoesNotCountWhoLeavesWithoutAWord) {
  capsule.set("rate_limit.requests", "1");
  capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
  capsule.start();
  for (int i = 0; i < 5; ++i) {
    for (const std::uint16_t port : {capsule.port(), capsule.spartanPort()}) {
      TcpClient client(port);
      client.finish();
      EXPECT_EQ(client.receive(), "");  // the server has seen it
    }
  }
  EXPECT_EQ(askSpartan(capsule.spartanPort(), "localhost / 0\r\n").status, 2);
  EXPECT_EQ(askSpartan(capsule.spartanPort(), "localhost / 0\r\n").status, 4);
}

TEST_F(RateLimit, SaysHowManySecondsToWaitInDigitsAlone) {
  capsule.set("rate_limit.requests", "1");
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  const Reply refused = capsule.get("/");
  EXPECT_EQ(refused.status, 44);
  EXPECT_EQ(refused.meta, "3600");
}

TEST_F(RateLimit, CountsEachAddressForItself) {
  capsule.set("rate_limit.requests", "1");
  capsule.start();
  EXPECT_EQ(statusFrom("127.0.0.1"), 20);
  EXPECT_EQ(statusFrom("127.0.0.1"), 44);
  EXPECT_EQ(statusFrom("127.0.0.2"), 20);
}

TEST_F(RateLimit, SparesExemptNetworks) {
  capsule.set("rate_limit.requests", "1");
  capsule.set("rate_limit.exempt", "[\"127.0.0.2/32\"]");
  capsule.start();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(statusFrom("127.0.0.2"), 20);
  EXPECT_EQ(statusFrom("127.0.0.1"), 20);
  EXPECT_EQ(statusFrom("127.0.0.1"), 44);
}

TEST_F(RateLimit, SparesThisMachineUnlessToldOtherwise) {
  capsule.unset("rate_limit.exempt");
  capsule.set("rate_limit.requests", "1");
  capsule.start();
  for (const char* own : {"127.0.0.1", "127.0.0.2"}) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(statusFrom(own), 20);
  }
}

TEST_F(RateLimit, SparesUploadsThatATokenOrAListedCertificateEntitlesTo) {
  const TestCertificate listed = makeTestCertificate();
  const TestCertificate stranger = makeTestCertificate();
  capsule.dir().makeDir("up");
  const std::string folder = "module = \"directory\"\nroot = \"up\"\n";
  capsule.sites(
      "[sites.localhost.\"/\"]\n" + folder + "[sites.localhost.\"/any\"]\n" + folder +
      "[sites.localhost.\"/\".upload]\ntokens = [\"sha256:" + sha256Hex("secret") +
      "\"]\nfingerprints = [\"SHA256:" + certificateFingerprint(listed.certificate.get()) +
      "\"]\n[sites.localhost.\"/any\".upload]\nfingerprints = [\"*\"]\n");
  capsule.set("rate_limit.requests", "3");
  capsule.start();
  const auto upload = [&](const std::string& path, const TestCertificate* certificate) {
    TlsSettings settings;
    settings.certificate = certificate;
    const std::string url = "titan://localhost:" + std::to_string(capsule.port()) + path;
    return exchange(capsule.port(), url + "\r\nabc", settings).status;
  };
  const std::string token = ";size=3;token=secret";
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(upload("/a" + token, nullptr), 30);
    EXPECT_EQ(upload("/b;size=3", &listed), 30);
  }
  for (int i = 0; i < 2; ++i) EXPECT_EQ(upload("/any/c;size=3", &stranger), 30);
  EXPECT_EQ(upload("/a;size=3;token=wrong", nullptr), 61);
  EXPECT_EQ(upload("/any/c;size=3", &stranger), 44) << "anybody makes such a certificate";
  EXPECT_EQ(capsule.get("/").status, 44);
  EXPECT_EQ(upload("/a" + token, nullptr), 30);
  EXPECT_EQ(upload("/b;size=3", &listed), 30);
  EXPECT_EQ(upload("/any/c;size=3", &listed), 44) << "not listed there";
}

TEST_F(RateLimit, OutlivesItsWorkersAndAReload) {
  capsule.set("rate_limit.requests", "1");
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_EQ(capsule.get("/").status, 44);
  capsule.reload();
  EXPECT_EQ(capsule.get("/").status, 44);
  for (const pid_t worker : capsule.workerPids()) ::kill(worker, SIGKILL);
  EXPECT_TRUE(eventually([&] { return capsule.get("/").status == 44; }));
}

/// A connection that begins with a PROXY header for `client`.
Reply viaProxy(const Capsule& capsule, const std::string& header) {
  GeminiClient client(capsule.port());
  client.tcp().send(header);
  if (!client.handshake()) return {};
  client.send(capsule.url("/") + "\r\n");
  return client.readReply();
}

TEST_F(RateLimit, CountsTheClientThatATrustedProxyNames) {
  capsule.set("rate_limit.requests", "1");
  capsule.set("log.client_ip", "\"full\"");
  capsule.set("listen.proxy_protocol_from", "[\"127.0.0.1/32\"]");
  capsule.start();
  EXPECT_EQ(viaProxy(capsule, "PROXY TCP4 192.0.2.1 192.0.2.9 1 1965\r\n").status, 20);
  EXPECT_EQ(viaProxy(capsule, "PROXY TCP4 192.0.2.1 192.0.2.9 1 1965\r\n").status, 44);
  EXPECT_EQ(viaProxy(capsule, "PROXY TCP4 192.0.2.2 192.0.2.9 1 1965\r\n").status, 20);
  EXPECT_TRUE(capsule.waitForLog(" 192.0.2.2 "));
}

TEST_F(RateLimit, TakesBothVersionsOfTheProxyHeaderAndNoOther) {
  capsule.set("rate_limit.enabled", "false");
  capsule.set("listen.proxy_protocol_from", "[\"127.0.0.1/32\"]");
  capsule.start();
  const std::string v2(
      "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x07\xad", 28);
  EXPECT_EQ(viaProxy(capsule, v2).status, 20);
  EXPECT_EQ(viaProxy(capsule, "PROXY UNKNOWN\r\n").status, 20);
  std::string longest = v2 + std::string("\x04\x01\xf9", 3) + std::string(505, 'x');
  longest[14] = '\x02';
  longest[15] = '\x08';
  EXPECT_EQ(viaProxy(capsule, longest).status, 20);
  EXPECT_EQ(viaProxy(capsule, "PROXY TCP4 192.0.2.1 192.0.2.9 99999 1965\r\n").status, 0);
  EXPECT_EQ(viaProxy(capsule, "").status, 0) << "a trusted proxy without a header";
  EXPECT_EQ(viaProxy(capsule, "PROXY TCP9 nonsense\r\n").status, 0);
  TlsSettings direct;
  direct.tcp.from = "127.0.0.2";
  EXPECT_EQ(capsule.get("/", direct).status, 20) << "not a proxy: no header is expected";
}

}  // namespace
}  // namespace egalaxyd
