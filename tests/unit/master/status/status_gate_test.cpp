#include "master/status/status_gate.h"

#include <gtest/gtest.h>

#include "common/base/sha256.h"

namespace egalaxyd {
namespace {

StatusVerdict ask(std::string_view target, std::string_view host = "localhost:9965") {
  return judge({"GET", target, host, ""}, TokenDigest{});
}

int withToken(std::string_view authorization, std::string_view target = "/metrics") {
  return judge({"GET", target, "status.example.org", authorization},
               TokenDigest{sha256Hex("s3cret:with colon")})
      .status;
}

TEST(StatusGate, KnowsFourPaths) {
  EXPECT_EQ(ask("/").part, StatusPart::kPage);
  EXPECT_EQ(ask("/?x=1").part, StatusPart::kPage);
  EXPECT_EQ(ask("/metrics").part, StatusPart::kMetrics);
  EXPECT_EQ(ask("/healthz").part, StatusPart::kHealth);
  EXPECT_EQ(ask("/status.json").part, StatusPart::kFigures);
  for (const char* other : {"", "*", "//", "/index.html", "/metrics/", "/../", "/healthz%20",
                            "http://localhost/", "?since=1"}) {
    EXPECT_EQ(ask(other).status, 404) << other;
  }
}

TEST(StatusGate, TakesTheNumberOfTheLastSampleThatIsKnown) {
  EXPECT_EQ(ask("/status.json?since=42").since, 42u);
  for (const char* other :
       {"/status.json", "/status.json?", "/status.json?since=", "/status.json?since=-1",
        "/status.json?since=x", "/status.json?since=99999999999999999999"}) {
    EXPECT_EQ(ask(other).status, 200) << other;
    EXPECT_EQ(ask(other).since, 0u) << other;
  }
}

TEST(StatusGate, IsReadOnly) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", ""}) {
    EXPECT_EQ(judge({method, "/", "localhost", ""}, {}).status, 405) << method;
  }
  EXPECT_EQ(judge({"HEAD", "/", "localhost", ""}, {}).status, 200);
}

TEST(StatusGate, AnswersNoBrowserThatWasLedHereByAForeignName) {
  for (const char* local : {"localhost", "LocalHost:9965", "127.0.0.1:9965", "127.1.2.3", "[::1]",
                            "[::1]:9965", "status.localhost:1", ""}) {
    EXPECT_EQ(ask("/status.json", local).status, 200) << local;
  }
  for (const char* foreign :
       {"evil.example", "evil.example:9965", "localhost.evil.example", "notlocalhost", "10.0.0.1",
        "[2001:db8::1]:9965", "[", ":9965", "127.0.0.1.evil.example"}) {
    EXPECT_EQ(ask("/status.json", foreign).status, 421) << foreign;
    EXPECT_EQ(ask("/nothing", foreign).status, 421) << foreign;
    EXPECT_EQ(ask("/healthz", foreign).status, 200) << foreign;
  }
}

TEST(StatusGate, AsksForTheTokenAnywhereButForHealth) {
  EXPECT_EQ(withToken("Bearer s3cret:with colon"), 200);
  EXPECT_EQ(withToken("bearer  s3cret:with colon"), 200);
  // printf 'anyone:s3cret:with colon' | base64, and with an empty name and another padding
  EXPECT_EQ(withToken("Basic YW55b25lOnMzY3JldDp3aXRoIGNvbG9u"), 200);
  EXPECT_EQ(withToken("Basic OnMzY3JldDp3aXRoIGNvbG9u"), 200);
  EXPECT_EQ(withToken("Basic YW46czNjcmV0OndpdGggY29sb24="), 200);
  for (const std::string& wrong :
       {std::string(), std::string("Bearer"), std::string("Bearer "), std::string("Bearer x"),
        std::string("s3cret:with colon"), std::string("Digest s3cret:with colon"),
        std::string("Bearer s3cret:with colon "), std::string("Basic s3cret:with colon"),
        std::string("Basic ===="), std::string("Basic ="), std::string("Basic YW55b25l"),
        std::string("Bearer ") + std::string(100'000, 'x')}) {
    EXPECT_EQ(withToken(wrong), 401) << wrong.substr(0, 40);
    EXPECT_EQ(withToken(wrong, "/nothing"), 401) << wrong.substr(0, 40);
  }
  EXPECT_EQ(withToken("", "/healthz"), 200);
}

TEST(StatusGate, TheDigestIsNoToken) {
  EXPECT_EQ(withToken("Bearer " + sha256Hex("s3cret:with colon")), 401);
  EXPECT_EQ(withToken("Bearer sha256:" + sha256Hex("s3cret:with colon")), 401);
}

}  // namespace
}  // namespace egalaxyd
