#include "ctl/client/client_request.h"

#include <gtest/gtest.h>

#include <string>

namespace egalaxyd::ctl {
namespace {

using namespace std::string_literals;

Target target(const std::string& url, Protocol usual = Protocol::kGemini) {
  const auto parsed = parseTarget(url, usual);
  EXPECT_TRUE(parsed.ok()) << url << ": " << (parsed ? "" : parsed.error().message);
  return parsed ? *parsed : Target{};
}

TEST(ClientRequest, KnowsProtocolHostAndPortOfAUrl) {
  const struct {
    const char* url;
    Protocol protocol;
    const char* host;
    std::uint16_t port;
  } cases[] = {
      {"gemini://example.org", Protocol::kGemini, "example.org", 1965},
      {"TITAN://Example.org:1/x", Protocol::kTitan, "example.org", 1},
      {"spartan://example.org/", Protocol::kSpartan, "example.org", 300},
      {"spartan://[::1]:3000/", Protocol::kSpartan, "::1", 3000},
      {"example.org:1966/a", Protocol::kGemini, "example.org", 1966},
  };
  for (const auto& c : cases) {
    const Target found = target(c.url);
    EXPECT_EQ(found.protocol, c.protocol) << c.url;
    EXPECT_EQ(found.uri.host, c.host) << c.url;
    EXPECT_EQ(found.port, c.port) << c.url;
  }
  EXPECT_EQ(target("example.org/a", Protocol::kTitan).url, "titan://example.org/a");
}

TEST(ClientRequest, KnowsPagesBelowAFolder) {
  const Target page = pageBelow(target("titan://h:1/w%20x/?q"), "a b;/c%.gmi");
  EXPECT_EQ(page.url, "titan://h:1/w%20x/a%20b%3B/c%25.gmi?q");
  EXPECT_EQ(page.uri.path, "/w%20x/a%20b%3B/c%25.gmi");
  EXPECT_EQ(pageBelow(target("spartan://h/"), "x").url, "spartan://h/x");
}

TEST(ClientRequest, RefusesWhatItCannotAsk) {
  for (const char* url : {"", "http://example.org/", "gemini:///x", "gemini://[::1/", "a\r\nb",
                          "gemini://a/b c", "gemini://me@a/", "gemini://a:65536/"}) {
    const auto parsed = parseTarget(url, Protocol::kGemini);
    ASSERT_FALSE(parsed.ok()) << url;
    EXPECT_EQ(parsed.error().message.find('\r'), std::string::npos) << url;
  }
}

TEST(ClientRequest, AsksForANameBeyondAsciiByItsALabel) {
  for (const char* host : {"b\xC3\xBC"
                           "cher.example",
                           "b%C3%BCcher.example"}) {
    const std::string url = "gemini://"s + host + ":1966/\xC3\xBC?%C3%BC";
    EXPECT_EQ(readingRequest(target(url)),
              "gemini://xn--bcher-kva.example:1966/\xC3\xBC?%C3%BC\r\n");
    EXPECT_EQ(target(host).uri.host, "xn--bcher-kva.example");
  }
  EXPECT_EQ(readingRequest(target("spartan://b\xC3\xBC"
                                  "cher.example")),
            "xn--bcher-kva.example / 0\r\n");
}

TEST(ClientRequest, ReadsOverGeminiByTheUrlWithoutItsFragment) {
  EXPECT_EQ(readingRequest(target("gemini://a:1/b%20c?d#e")), "gemini://a:1/b%20c?d\r\n");
}

TEST(ClientRequest, ReadsOverSpartanWithTheQueryAsData) {
  EXPECT_EQ(readingRequest(target("spartan://A.test:3000")), "a.test / 0\r\n");
  EXPECT_EQ(readingRequest(target("spartan://[::1]/b%20c#d")), "[::1] /b%20c 0\r\n");
  EXPECT_EQ(readingRequest(target("spartan://a/caf\xC3\xA9")), "a /caf%C3%A9 0\r\n");
  EXPECT_EQ(readingRequest(target("spartan://a/b?c%20d%0D%0A+")), "a /b 6\r\nc d\r\n+");
  EXPECT_EQ(readingRequest(target("spartan://a/b?")), "a /b 0\r\n");
}

TEST(ClientRequest, UploadsOverTitanWithParametersBehindThePath) {
  EXPECT_EQ(uploadRequest(target("titan://a/b"), {3, "", ""}), "titan://a/b;size=3\r\n");
  EXPECT_EQ(uploadRequest(target("titan://a"), {3, "text/gemini", ""}),
            "titan://a/;size=3;mime=text%2Fgemini\r\n");
  EXPECT_EQ(uploadRequest(target("titan://a/b?q"), {0, "", "x;y=z&%"}),
            "titan://a/b;size=0;token=x%3By=z&%25?q\r\n");
  EXPECT_EQ(uploadRequest(target("titan://a/b"), {1, "text/plain; charset=utf-8", ""}),
            "titan://a/b;size=1;mime=text%2Fplain%3B%20charset=utf-8\r\n");
}

TEST(ClientRequest, UploadsOverSpartanByPathAndSizeAlone) {
  EXPECT_EQ(uploadRequest(target("spartan://a/b%20c"), {5'000'000'000, "text/plain", "x"}),
            "a /b%20c 5000000000\r\n");
}

TEST(ClientRequest, UnderstandsTheFirstLineOfAnAnswer) {
  const struct {
    Protocol protocol;
    const char* text;
    int kind;
    const char* meta;
  } cases[] = {
      {Protocol::kGemini, "20 text/gemini", 2, "text/gemini"},
      {Protocol::kTitan, "30 gemini://a/b", 3, "gemini://a/b"},
      {Protocol::kGemini, "51", 5, ""},
      {Protocol::kGemini, "44 60", 4, "60"},
      {Protocol::kSpartan, "2 text/gemini", 2, "text/gemini"},
      {Protocol::kSpartan, "4 Not found", 4, "Not found"},
  };
  for (const auto& c : cases) {
    const auto line = parseAnswerLine(c.protocol, c.text);
    ASSERT_TRUE(line.ok()) << c.text;
    EXPECT_EQ(line->text, c.text);
    EXPECT_EQ(line->kind, c.kind) << c.text;
    EXPECT_EQ(line->meta, c.meta) << c.text;
  }
}

TEST(ClientRequest, RefusesTheLineOfAnotherProtocol) {
  const std::pair<Protocol, const char*> cases[] = {
      {Protocol::kGemini, ""},          {Protocol::kGemini, "2 text/gemini"},
      {Protocol::kGemini, "200 OK"},    {Protocol::kGemini, "99 x"},
      {Protocol::kGemini, "00 x"},      {Protocol::kGemini, "20text/gemini"},
      {Protocol::kSpartan, ""},         {Protocol::kSpartan, "20 text/gemini"},
      {Protocol::kSpartan, "2"},        {Protocol::kSpartan, "1 x"},
      {Protocol::kSpartan, "6 x"},      {Protocol::kTitan, "HTTP/1.1 400 Bad Request"},
      {Protocol::kSpartan, "\x1b[2J "},
  };
  for (const auto& [protocol, text] : cases) {
    const auto line = parseAnswerLine(protocol, text);
    ASSERT_FALSE(line.ok()) << text;
    EXPECT_EQ(line.error().code, ErrorCode::kInvalid) << text;
    EXPECT_EQ(line.error().message.find('\x1b'), std::string::npos);
  }
}

}  // namespace
}  // namespace egalaxyd::ctl
