#include "worker/dynamic/proxy_urls.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>

#include "common/base/path.h"
#include "worker/protocol/gemini_parser.h"
#include "worker/protocol/spartan_parser.h"

namespace egalaxyd {
namespace {

/// A request for something at or below "/old".
Request proxied(const RequestLine& line) {
  Request request;
  request.protocol = line.uri.scheme == "titan"     ? Protocol::kTitan
                     : line.uri.scheme == "spartan" ? Protocol::kSpartan
                                                    : Protocol::kGemini;
  request.url = line.url;
  request.host = line.uri.host;
  request.port =
      line.uri.port.value_or(request.protocol == Protocol::kSpartan ? kSpartanPort : kGeminiPort);
  request.path = std::get<std::string>(normalisePathKeepingSlashes(line.uri.path));
  request.mountLength = 4;
  request.query = line.uri.query;
  request.upload = line.upload;
  return request;
}

Request request(const std::string& url) {
  std::size_t consumed = 0;
  const ParseStep step = GeminiParser().feed(url + "\r\n", consumed);
  return proxied(std::get<RequestLine>(step));
}

Request spartanRequest(const std::string& line) {
  std::size_t consumed = 0;
  const ParseStep step = SpartanParser().feed(line + "\r\n", consumed);
  return proxied(std::get<RequestLine>(step));
}

ProxyRoute route(bool keepsHost, bool strips, const char* to = "e.test:1966") {
  ProxyArgs args;
  args.keepHost = keepsHost;
  args.strip = strips;
  return proxyRoute(args, to, "/old");
}

std::string asked(const Request& request, const ProxyRoute& route) {
  return urlForCapsule(request, route).value_or("too long");
}

TEST(ProxyUrls, GoOnUnchanged) {
  for (const char* url :
       {"gemini://h.test/old", "gemini://h.test/old/", "gemini://H.test:11965//old/./a%2Fb?q%20+",
        "gemini://h.test/old/caf%C3%A9?", "gemini://[::1]/old/x", "titan://h.test/old/x;edit?q",
        "titan://h.test/old/x;size=3;mime=text%2Fplain;token=a%20b?q"}) {
    EXPECT_EQ(asked(request(url), route(true, false)), url);
    EXPECT_EQ(asked(request(url), route(false, false, "unix:/run/old.sock")), url);
  }
}

TEST(ProxyUrls, NameTheCapsuleWhereTheyShall) {
  for (const auto& [to, authority] : {std::pair("e.test:1966", "e.test:1966"),
                                      {"e.test:1965", "e.test"},
                                      {"E.test", "e.test"},
                                      {"127.0.0.1:4000", "127.0.0.1:4000"},
                                      {"[::1]:4000", "[::1]:4000"}}) {
    EXPECT_EQ(asked(request("gemini://h.test/old//a%2Fb?q"), route(false, false, to)),
              std::string("gemini://") + authority + "/old//a%2Fb?q");
  }
  EXPECT_EQ(asked(request("titan://h.test:11965/old/x;token=t;size=3"), route(false, false)),
            "titan://e.test:1966/old/x;size=3;token=t");
}

TEST(ProxyUrls, LeaveOutTheMount) {
  for (const auto& [sent, path] : {std::pair("/old", "/"),
                                   {"/old/", "/"},
                                   {"/old/a/b/", "/a/b/"},
                                   {"//old//a", "/a"},
                                   {"/%6Fld/caf%C3%A9", "/caf%C3%A9"},
                                   {"/old/a%2Fb%20c?q%20d", "/a%2Fb%20c?q%20d"},
                                   {"/x/../old/a;b", "/a%3Bb"}}) {
    EXPECT_EQ(asked(request(std::string("gemini://h.test") + sent), route(true, true)),
              std::string("gemini://h.test") + path);
    EXPECT_EQ(asked(request(std::string("gemini://h.test") + sent), route(false, true)),
              std::string("gemini://e.test:1966") + path);
  }
  EXPECT_EQ(asked(request("titan://h.test/old/x;size=3?q"), route(true, true)),
            "titan://h.test/x;size=3?q");
}

TEST(ProxyUrls, OfSpartanBecomeGeminis) {
  Request asks = spartanRequest("h.test:3000 /old/a%20b 0");
  EXPECT_EQ(asked(asks, route(true, false)), "gemini://h.test/old/a%20b");
  EXPECT_EQ(asked(asks, route(false, true)), "gemini://e.test:1966/a%20b");
  asks.query = "my%20input";
  EXPECT_EQ(asked(asks, route(true, false)), "gemini://h.test/old/a%20b?my%20input");
}

TEST(ProxyUrls, AreNoLongerThanAllowed) {
  const std::string longest = "gemini://h.test/old/" + std::string(1024 - 20, 'x');
  EXPECT_EQ(asked(request(longest), route(true, false)), longest);
  EXPECT_EQ(asked(request(longest), route(false, false)), "too long");
}

TEST(ProxyUrls, OfRedirectsToTheCapsuleBecomeOurs) {
  const Request asks = request("gemini://h.test:11965/old/a");
  for (const auto& [target, kept, stripped] :
       {std::tuple("gemini://e.test:1966/x?q#f", "gemini://h.test:11965/x?q#f",
                   "gemini://h.test:11965/old/x?q#f"),
        {"gemini://E.test:1966", "gemini://h.test:11965/", "gemini://h.test:11965/old/"},
        {"gemini://e.test:1966?q", "gemini://h.test:11965/?q", "gemini://h.test:11965/old/?q"},
        {"/x", "/x", "/old/x"},
        {"/", "/", "/old/"},
        {"x/y", "x/y", "x/y"},
        {"../x", "../x", "../x"},
        {"?q", "?q", "?q"},
        {"#f", "#f", "#f"},
        {"//e.test/x", "//e.test/x", "//e.test/x"},
        {"gemini://e.test/x", "gemini://e.test/x", "gemini://e.test/x"},
        {"gemini://other.test/x", "gemini://other.test/x", "gemini://other.test/x"},
        {"https://e.test:1966/x", "https://e.test:1966/x", "https://e.test:1966/x"},
        {"mailto:a@e.test", "mailto:a@e.test", "mailto:a@e.test"}}) {
    for (const bool keepsHost : {true, false}) {
      EXPECT_EQ(redirectForVisitor(target, asks, route(keepsHost, false)), kept);
      EXPECT_EQ(redirectForVisitor(target, asks, route(keepsHost, true)), stripped);
    }
  }
}

TEST(ProxyUrls, OfRedirectsToTheHostThatTheCapsuleWasToldGetTheMount) {
  const Request asks = request("gemini://h.test:11965/old/a");
  const char* target = "gemini://h.test:11965/x";
  EXPECT_EQ(redirectForVisitor(target, asks, route(true, true)), "gemini://h.test:11965/old/x");
  EXPECT_EQ(redirectForVisitor(target, asks, route(true, false)), target);
  EXPECT_EQ(redirectForVisitor(target, asks, route(false, true)), target);
}

TEST(ProxyUrls, OfRedirectsBesideTheMountLeadIntoIt) {
  const Request asks = request("gemini://h.test/old");
  EXPECT_EQ(redirectForVisitor("x/", asks, route(true, true)), "/old/x/");
  EXPECT_EQ(redirectForVisitor("?q", asks, route(true, true)), "?q");
  EXPECT_EQ(redirectForVisitor("x/", asks, route(true, false)), "x/");
}

TEST(ProxyUrls, OfRedirectsForSpartanNameOurHost) {
  const Request asks = spartanRequest("h.test:3000 /old/a 0");
  EXPECT_EQ(redirectForVisitor("gemini://e.test:1966/x", asks, route(false, true)),
            "gemini://h.test/old/x");
  EXPECT_EQ(redirectForVisitor("gemini://h.test/x", asks, route(true, true)),
            "gemini://h.test/old/x");
}

}  // namespace
}  // namespace egalaxyd
