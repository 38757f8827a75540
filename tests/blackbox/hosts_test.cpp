// Which host and which port is ours.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/capsule.h"
#include "tests/support/spartan_client.h"

namespace egalaxyd {
namespace {

class Hosts : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"exact", "wild", "any", "literal"}) {
      capsule.dir().write(std::string(name) + "/index.gmi", name);
    }
  }

  /// What a client gets that asks for `host`, SNI included (but for addresses).
  Reply ask(const std::string& host) {
    TlsSettings settings;
    const bool literal = host[0] == '[' || std::isdigit(static_cast<unsigned char>(host[0])) != 0;
    settings.serverName = literal ? std::nullopt : std::optional(host);
    return fetch(capsule.port(), capsule.url("/", host), settings);
  }

  Capsule capsule;
};

TEST_F(Hosts, AreFoundByNameAliasAndWildcard) {
  capsule.sites(R"(
[sites."example.test"]
root = "exact"
aliases = ["www.example.test", "example.example"]
[sites."*.example.test"]
root = "wild"
)");
  capsule.start();
  EXPECT_EQ(ask("example.test").body, "exact");
  EXPECT_EQ(ask("EXAMPLE.Test").body, "exact");
  EXPECT_EQ(ask("www.example.test").body, "exact");
  EXPECT_EQ(ask("example.example").body, "exact");
  EXPECT_EQ(ask("other.example.test").body, "wild");
  for (const char* host : {"a.b.example.test", "badexample.test", "test", "example.org",
                           ".example.test", "127.0.0.1", "[::1]"}) {
    EXPECT_EQ(ask(host).status, 53) << host;
  }
}

TEST_F(Hosts, FallBackToTheStarSite) {
  capsule.sites(R"(
[sites."example.test"]
root = "exact"
[sites."*"]
root = "any"
)");
  capsule.start();
  EXPECT_EQ(ask("example.test").body, "exact");
  EXPECT_EQ(ask("elsewhere.example").body, "any");
  EXPECT_EQ(ask("a.b.c.example").body, "any");
  EXPECT_EQ(ask("127.0.0.1").body, "any");
  EXPECT_EQ(ask("[::1]").body, "any");
}

TEST_F(Hosts, MayBeAddresses) {
  capsule.sites(R"(
[sites."example.test"]
root = "exact"
aliases = ["::1"]
[sites."127.0.0.1"]
root = "literal"
)");
  capsule.start();
  EXPECT_EQ(ask("127.0.0.1").body, "literal");
  EXPECT_EQ(ask("[::1]").body, "exact");
  EXPECT_EQ(ask("[0:0:0:0:0:0:0:1]").body, "exact");
  EXPECT_EQ(ask("127.0.0.2").status, 53);
}

TEST_F(Hosts, AreComparedAsTheyAreWritten) {
  capsule.sites("[sites.\"xn--caf-dma.test\"]\nroot = \"exact\"\n");
  capsule.start();
  EXPECT_EQ(ask("xn--caf-dma.test").body, "exact");
  EXPECT_EQ(ask("XN--CAF-DMA.test").body, "exact");
}

TEST_F(Hosts, AreTheSameBeyondAsciiPercentEncodedAndWithADotAtTheEnd) {
  capsule.sites("[sites.\"xn--caf-dma.test\"]\nroot = \"exact\"\n");
  capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
  capsule.start();
  for (const std::string host : {"caf\xC3\xA9.test", "caf%C3%A9.test", "xn--caf-dma.test.",
                                 "xn--caf-dma.%74est", "CAF\xC3\x89.test."}) {
    TlsSettings unnamed;
    unnamed.serverName = std::nullopt;
    EXPECT_EQ(fetch(capsule.port(), capsule.url("/", host), unnamed).body, "exact") << host;
    EXPECT_EQ(askSpartan(capsule.spartanPort(), host + " / 0\r\n").body, "exact") << host;
  }
  for (const char* serverName : {"xn--caf-dma.test", "xn--caf-dma.test.", "caf\xC3\xA9.test"}) {
    TlsSettings settings;
    settings.serverName = serverName;
    EXPECT_EQ(fetch(capsule.port(), capsule.url("/", "caf\xC3\xA9.test"), settings).body, "exact")
        << serverName;
  }
  EXPECT_EQ(ask("th\xC3\xA9.test").status, 53);
  EXPECT_EQ(ask("caf%E9.test").status, 59);
}

TEST_F(Hosts, AreOursOnPublicPortsToo) {
  capsule.sites("[sites.\"localhost\"]\nroot = \"exact\"\n");
  capsule.set("listen.public_ports", "[443, 21965]");
  capsule.start();
  for (const char* url : {"gemini://localhost:443/", "gemini://localhost:21965/",
                          "gemini://localhost:1965/", "gemini://localhost/"}) {
    EXPECT_EQ(fetch(capsule.port(), url).status, 20) << url;
  }
  EXPECT_EQ(fetch(capsule.port(), "gemini://localhost:444/").status, 53);
}

TEST_F(Hosts, AreServedOnEveryListener) {
  capsule.sites("[sites.\"localhost\"]\nroot = \"exact\"\n");
  capsule.set("listen.gemini", "[\"127.0.0.1:0\", \"127.0.0.1:0\"]");
  capsule.start();
  EXPECT_EQ(fetch(capsule.port(0), capsule.url("/")).body, "exact");
  EXPECT_EQ(fetch(capsule.port(1), capsule.url("/")).body, "exact")
      << "a URL with the port of our other socket";
}

TEST_F(Hosts, AreServedOverBothFamiliesOnOnePort) {
  capsule.sites("[sites.\"localhost\"]\nroot = \"exact\"\n");
  capsule.set("listen.gemini", "[\":0\"]");
  capsule.start();
  EXPECT_EQ(fetch(capsule.port(), capsule.url("/")).body, "exact");
  TlsSettings settings;
  settings.tcp.address = "::1";
  if (TcpClient(capsule.port(), settings.tcp).ending() != Ending::kOpen &&
      !std::filesystem::exists("/proc/net/if_inet6")) {
    GTEST_SKIP() << "no IPv6 here";
  }
  EXPECT_EQ(fetch(capsule.port(), capsule.url("/"), settings).body, "exact");
}

TEST_F(Hosts, KeepTheirPathsApartOnSegmentBorders) {
  capsule.sites(R"(
[sites."localhost"."/"]
module = "directory"
root = "any"
[sites."localhost"."/blog"]
module = "directory"
root = "exact"
[sites."localhost"."/blog/old"]
module = "directory"
root = "wild"
)");
  capsule.dir().write("any/blogroll/index.gmi", "roll");
  capsule.dir().write("exact/older/index.gmi", "older");
  capsule.start();
  const auto body = [&](const char* path) { return capsule.get(path).body; };
  EXPECT_EQ(body("/"), "any");
  EXPECT_EQ(body("/blog/"), "exact");
  EXPECT_EQ(body("/blog/index.gmi"), "exact");
  EXPECT_EQ(body("/blog/older/"), "older");
  EXPECT_EQ(body("/blog/old/"), "wild");
  EXPECT_EQ(body("/blogroll/"), "roll");
  EXPECT_EQ(body("/blog/old/../"), "exact");
  EXPECT_EQ(capsule.get("/blog").header, "31 " + capsule.url("/blog/"));
}

}  // namespace
}  // namespace egalaxyd
