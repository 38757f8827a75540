#include "worker/route/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "common/base/path.h"
#include "worker/route/pattern_redirects.h"

namespace egalaxyd {
namespace {

/// Is routed to, never asked.
class NamedSite final : public Site {
 public:
  explicit NamedSite(std::string name) : name_(std::move(name)) {}
  void handle(Request, Responder, Services&) override { ADD_FAILURE() << "routing asks no site"; }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
};

std::string siteName(const Site* site) {
  return site == nullptr ? "none" : dynamic_cast<const NamedSite&>(*site).name();
}

std::shared_ptr<PathMap> pathMap(std::initializer_list<const char*> paths) {
  auto map = std::make_shared<PathMap>();
  for (const char* path : paths) map->add(path, std::make_shared<NamedSite>(path));
  return map;
}

/// Takes encoded slashes.
class TakingSite final : public Site {
 public:
  void handle(Request, Responder, Services&) override { ADD_FAILURE() << "routing asks no site"; }
  bool takesEncodedSlash(std::string_view) const override { return true; }
};

/// "h" and "127.0.0.1" are ours on 1965 and 11965; "empty" has only "/wiki".
SiteMap exampleSites() {
  HostMap<std::shared_ptr<PathMap>> hosts;
  hosts.add("h", pathMap({"/", "/wiki", "/wiki/deep/er", "/caf\xC3\xA9"}));
  hosts.add("127.0.0.1", pathMap({"/"}));
  hosts.add("::1", pathMap({"/"}));
  hosts.add("empty", pathMap({"/wiki"}));
  return SiteMap(std::move(hosts));
}

std::variant<Routed, Response> routed(const std::string& url, std::string_view serverName = "",
                                      ListenerKind listener = ListenerKind::kGemini) {
  auto parsed = parseUri(url);
  if (std::holds_alternative<UriError>(parsed)) {
    ADD_FAILURE() << url << " does not parse";
    return Response::failure(Status::kBadRequest, "");
  }
  static const SiteMap sites = exampleSites();
  Gate gate(sites);
  gate.setPorts({11965}, 11965);
  RequestLine line{url, std::get<Uri>(std::move(parsed))};
  if (line.uri.scheme == "titan") line.upload.emplace();
  return gate.admit(std::move(line), listener, serverName, *IpAddress::parse("192.0.2.7"));
}

/// 20 when a site was found.
int statusOf(const std::string& url, std::string_view serverName = "") {
  const auto result = routed(url, serverName);
  const auto* response = std::get_if<Response>(&result);
  return response == nullptr ? 20 : static_cast<int>(response->status);
}

Request requestOf(const std::string& url) {
  auto result = routed(url);
  if (!std::holds_alternative<Routed>(result)) {
    ADD_FAILURE() << url << " is refused";
    return {};
  }
  return std::get<Routed>(std::move(result)).request;
}

TEST(Router, AnswersEveryWellFormedUrl) {
  const struct {
    const char* url;
    int status;
  } cases[] = {
      {"gemini://h", 20},
      {"gemini://h/", 20},
      {"gemini://h:1965/", 20},
      {"gemini://h:01965/", 20},
      {"gemini://h:11965/", 20},
      {"gemini://h:", 20},
      {"gemini://h?q", 20},
      {"GEMINI://H/", 20},
      {"gemini://127.0.0.1/", 20},
      {"gemini://[::1]:1965/", 20},
      {"gemini://[0:0::0:1]/", 20},
      {"gemini://127.0.0.2/", 53},
      {"gemini://wikipedia.org/", 53},
      {"gemini://h.h/", 53},
      {"gemini://h:443/", 53},
      {"gemini://h:0/", 53},
      {"http://h/", 53},
      {"https://h/", 53},
      {"gopher://h/", 53},
      {"spartan://h/", 53},
      {"mailto:x@y", 53},
      {"data:,x", 53},
      {"file:///etc/passwd", 53},
      {"titan://h/x;size=1", 50},
      {"titan://h:11965/x;size=1", 50},
      {"titan://wikipedia.org/x;size=1", 53},
      {"titan://h:443/x;size=1", 53},
      {"gemini://h/../../", 59},
      {"gemini://h/a/../../b", 59},
      {"gemini://h/a/../b", 20},
      {"gemini://h/./", 20},
      {"gemini://h/%00", 51},
      {"gemini://h/%AE", 51},
      {"gemini://h/a%2Fb", 51},
      {"gemini://h/..%2F..%2Fetc/passwd", 51},
      {"gemini://h/%2e%2e/%2e%2e/etc/passwd", 51},
      {"gemini://h/testdir%2F..%2F..%2Fsecret", 51},
      {"gemini://h/dir%0D%0A20%20text/html", 51},
      {"gemini://empty/wiki/", 20},
      {"gemini://empty/", 51},
      {"gemini://empty/wikis", 51},
  };
  for (const auto& c : cases) EXPECT_EQ(statusOf(c.url), c.status) << c.url;
}

/// The path at a host whose "/cgi-bin" takes encoded slashes, which are shown as '|', with the
/// length of the mount; "51" if it is refused.
std::string takenPath(const std::string& url) {
  static const SiteMap sites = [] {
    auto map = pathMap({"/", "/cgi-bin/docs"});
    map->add("/cgi-bin", std::make_shared<TakingSite>());
    HostMap<std::shared_ptr<PathMap>> hosts;
    hosts.add("h", std::move(map));
    return SiteMap(std::move(hosts));
  }();
  Gate gate(sites);
  gate.setRedirects([] {
    HostMap<std::shared_ptr<PatternRedirects>> all;
    all.add("h", std::make_shared<PatternRedirects>(
                     std::vector<PatternRedirect>{{"moved", "/elsewhere"}}));
    return all;
  }());
  auto result = gate.admit({url, std::get<Uri>(parseUri(url))}, ListenerKind::kGemini, "", {});
  auto* routed = std::get_if<Routed>(&result);
  if (routed == nullptr) return std::to_string(static_cast<int>(std::get<Response>(result).status));
  std::string path = std::move(routed->request.path);
  std::replace(path.begin(), path.end(), kEncodedSlash, '|');
  return path + " " + std::to_string(routed->request.mountLength);
}

TEST(Router, LetsAnEncodedSlashThroughToSitesThatTakeIt) {
  for (const auto& [url, expected] :
       {std::pair("gemini://h/cgi-bin/env/https%3A%2F%2Fe.org/x", "/cgi-bin/env/https:||e.org/x 8"),
        {"gemini://h/cgi-bin/a%2Fb", "/cgi-bin/a|b 8"},
        {"gemini://h/cgi-bin/docs%2Fb", "/cgi-bin/docs|b 8"},
        {"gemini://h/cgi-bin/docs/a%2Fb", "51"},
        {"gemini://h/cgi-bin%2Fa", "51"},
        {"gemini://h/a%2Fb", "51"},
        {"gemini://h/a%2Fb/../c", "51"},
        {"gemini://h/moved%2Fb", "51"},
        {"gemini://h/cgi-bin/x/a%2F..%2F..%2Fetc", "51"},
        {"gemini://h/cgi-bin/env/%2e%2e/%2e%2e/x%2Fy", "51"},
        {"gemini://h/cgi-bin/env/%00", "51"},
        {"gemini://h/cgi-bin/env/%0a", "51"},
        {"gemini://h/cgi-bin/env/%AE", "51"},
        {"gemini://h/cgi-bin/../../a%2Fb", "59"},
        {"gemini://h/cgi-bin/env/%2541", "/cgi-bin/env/%41 8"},
        {"gemini://h//cgi-bin//env//extra//info//", "/cgi-bin/env/extra/info/ 8"}}) {
    EXPECT_EQ(takenPath(url), expected) << url;
  }
}

/// The site that answers for `path`, and the mount's length, where "/~" is of homes.
std::string homesFound(std::string_view path) {
  PathMap map;
  for (const char* mount : {"/", "/~bob", "/members", "/~alice/wiki"}) {
    map.add(mount, std::make_shared<NamedSite>(mount));
  }
  map.addHomes("/~", std::make_shared<NamedSite>("homes"));
  map.addHomes("/members/~", std::make_shared<NamedSite>("members' homes"));
  const PathMap::Match match = map.find(path);
  return siteName(match.site) + " " + std::to_string(match.mountLength);
}

TEST(Router, HomesAreFoundByEachNameThatNothingElseHas) {
  for (const auto& [path, expected] : {std::pair("/~alice", "homes 7"),
                                       {"/~alice/", "homes 7"},
                                       {"/~alice/a/b", "homes 7"},
                                       {"/~alice/~carol", "homes 7"},
                                       {"/~alice/wiki/x", "/~alice/wiki 12"},
                                       {"/~bob/x", "/~bob 5"},
                                       {"/~bobby/x", "homes 7"},
                                       {"/~", "homes 2"},
                                       {"/~/x", "homes 2"},
                                       {"/members/~alice/x", "members' homes 15"},
                                       {"/members/x/~alice", "/members 8"},
                                       {"/x/~alice", "/ 0"},
                                       {"/alice", "/ 0"},
                                       {"/a~b", "/ 0"}}) {
    EXPECT_EQ(homesFound(path), expected) << path;
  }
}

TEST(Router, APathWithATildeIsOneLikeOthersWithoutHomes) {
  PathMap map;
  map.add("/~", std::make_shared<NamedSite>("tilde"));
  EXPECT_EQ(siteName(map.find("/~/a").site), "tilde");
  EXPECT_EQ(map.find("/~alice").site, nullptr);
}

TEST(Router, TellsSpartanRequestsThePortThatIsListenedTo) {
  static const SiteMap sites = exampleSites();
  Gate gate(sites);
  gate.setPorts({3000, 4000}, 1965, 3000);
  const auto port = [&](const std::string& url) {
    RequestLine line{url, std::get<Uri>(parseUri(url))};
    auto result = gate.admit(std::move(line), ListenerKind::kSpartan, "", {});
    return std::get<Routed>(result).request.port;
  };
  EXPECT_EQ(port("spartan://h/"), 3000);
  EXPECT_EQ(port("spartan://h:4000/"), 4000);
}

std::variant<Routed, Response> redirected(const std::string& url,
                                          ListenerKind listener = ListenerKind::kGemini) {
  static const SiteMap sites = exampleSites();
  Gate gate(sites);
  gate.setPorts({11965}, 11965);
  // The site that is found is one of these, so they stay.
  static const HostMap<std::shared_ptr<PatternRedirects>> redirects = [] {
    HostMap<std::shared_ptr<PatternRedirects>> all;
    all.add("h", std::make_shared<PatternRedirects>(
                     std::vector<PatternRedirect>{{R"(^/log/(\d+)$)", "/gemlog/$1"}}));
    all.add("empty", nullptr);
    all.add("*",
            std::make_shared<PatternRedirects>(std::vector<PatternRedirect>{{".", "/elsewhere"}}));
    return all;
  }();
  gate.setRedirects(redirects);
  RequestLine line{url, std::get<Uri>(parseUri(url))};
  if (line.uri.scheme == "titan") line.upload.emplace();
  return gate.admit(std::move(line), listener, "", *IpAddress::parse("192.0.2.7"));
}

bool isRedirected(const std::string& url, ListenerKind listener = ListenerKind::kGemini) {
  const auto result = redirected(url, listener);
  const auto* routed = std::get_if<Routed>(&result);
  return routed != nullptr && dynamic_cast<PatternRedirects*>(routed->site) != nullptr;
}

TEST(Router, RedirectsByPatternComeBeforeThePathsOfTheirHost) {
  EXPECT_TRUE(isRedirected("gemini://h/log/7"));
  EXPECT_TRUE(isRedirected("gemini://h:11965/%6Cog/./7?q"));
  EXPECT_TRUE(isRedirected("spartan://h/log/7", ListenerKind::kSpartan));
  EXPECT_FALSE(isRedirected("gemini://h/log/x"));
  EXPECT_FALSE(isRedirected("gemini://h/wiki"));
  EXPECT_FALSE(isRedirected("gemini://empty/wiki")) << "\"*\" is for other hosts";
  EXPECT_TRUE(isRedirected("gemini://127.0.0.1/wiki"));
  EXPECT_FALSE(isRedirected("gemini://h/../log/7"));
}

TEST(Router, RedirectsByPatternDoNotConcernUploads) {
  const auto result = redirected("titan://h/log/7");
  EXPECT_EQ(std::get<Response>(result).meta, "Uploads are not enabled here");
}

TEST(Router, ATitanListenerSpeaksTitanAlone) {
  const auto gemini = routed("gemini://h/", "", ListenerKind::kTitan);
  EXPECT_EQ(std::get<Response>(gemini).status, Status::kProxyRequestRefused);
  const auto titan = routed("titan://h/x", "", ListenerKind::kTitan);
  EXPECT_EQ(std::get<Response>(titan).meta, "Uploads are not enabled here");
}

TEST(Router, ASpartanListenerSpeaksSpartanAlone) {
  const auto statusOver = [](const char* url) {
    const auto result = routed(url, "", ListenerKind::kSpartan);
    const auto* refusal = std::get_if<Response>(&result);
    return refusal == nullptr ? 20 : static_cast<int>(refusal->status);
  };
  EXPECT_EQ(statusOver("spartan://h/"), 20);
  EXPECT_EQ(statusOver("spartan://h:300/"), 20);
  EXPECT_EQ(statusOver("spartan://h:11965/"), 20);
  EXPECT_EQ(statusOver("spartan://h:1/"), 53);
  EXPECT_EQ(statusOver("spartan://wikipedia.org/"), 53);
  EXPECT_EQ(statusOver("gemini://h/"), 53);
  EXPECT_EQ(statusOver("titan://h/"), 53);
}

TEST(Router, AnswersNoHostOverSpartanThatIsKeptOut) {
  const SiteMap sites = exampleSites();
  Gate gate(sites);
  HostMap<bool> hosts;
  hosts.add("h", false);
  gate.setSpartanHosts(std::move(hosts));
  const auto statusOver = [&](const std::string& url, ListenerKind listener) {
    RequestLine line{url, std::get<Uri>(parseUri(url))};
    const auto result = gate.admit(std::move(line), listener, "", IpAddress());
    const auto* refusal = std::get_if<Response>(&result);
    return refusal == nullptr ? 20 : static_cast<int>(refusal->status);
  };
  EXPECT_EQ(statusOver("spartan://h/", ListenerKind::kSpartan), 53);
  EXPECT_EQ(statusOver("gemini://h/", ListenerKind::kGemini), 20);
  EXPECT_EQ(statusOver("spartan://empty/wiki", ListenerKind::kSpartan), 20);
}

TEST(Router, WantsTheServerNameToBeTheUrlsHost) {
  EXPECT_EQ(statusOf("gemini://H/", "h"), 20);
  EXPECT_EQ(statusOf("gemini://h/", "empty"), 53);
  EXPECT_EQ(statusOf("gemini://h/", "wikipedia.org"), 53);
  EXPECT_EQ(statusOf("titan://h/x;size=1", "empty"), 53);
}

TEST(Router, DecidesInTheOrderOfTheProtocol) {
  EXPECT_EQ(statusOf("https://wikipedia.org:1/../", "h"), 53);
  EXPECT_EQ(statusOf("gemini://wikipedia.org/../"), 53) << "the host before the path";
  EXPECT_EQ(statusOf("gemini://h/../", "empty"), 53) << "the server name before the path";
  EXPECT_EQ(statusOf("gemini://empty/../"), 59) << "the path before the site";
}

TEST(Router, LeaksNothingIntoItsTexts) {
  for (const auto* url : {"https://secret/", "gemini://secret/", "gemini://h:4711/secret",
                          "gemini://h/secret/../../", "gemini://h/secret%00", "titan://h/secret"}) {
    const auto result = routed(url);
    const auto& meta = std::get<Response>(result).meta;
    EXPECT_EQ(meta.find("secret"), std::string::npos) << meta;
    EXPECT_EQ(meta.find("4711"), std::string::npos) << meta;
    EXPECT_TRUE(meta.front() >= 'A' && meta.front() <= 'Z') << meta;
  }
}

TEST(Router, MakesARequestOfTheUrl) {
  const Request request = requestOf("gemini://H:11965/wiki//a/../caf%C3%A9/?q%20r");
  EXPECT_EQ(request.protocol, Protocol::kGemini);
  EXPECT_EQ(request.url, "gemini://H:11965/wiki//a/../caf%C3%A9/?q%20r");
  EXPECT_EQ(request.host, "h");
  EXPECT_EQ(request.port, 11965);
  EXPECT_EQ(request.path, "/wiki/caf\xC3\xA9/");
  EXPECT_EQ(request.query, "q%20r");
  EXPECT_EQ(request.mountLength, 5u);
  EXPECT_EQ(request.sitePath(), "/caf\xC3\xA9/");
}

TEST(Router, NamesTheDefaultPortWhenTheUrlHasNone) {
  EXPECT_EQ(requestOf("gemini://h/").port, 1965);
  EXPECT_EQ(requestOf("gemini://h:/").port, 1965);
}

TEST(Router, TakesAnEmptyPathForTheRoot) {
  EXPECT_EQ(requestOf("gemini://h").path, "/");
  EXPECT_EQ(requestOf("gemini://h?q").path, "/");
  EXPECT_EQ(requestOf("gemini://h?q").query, "q");
  EXPECT_EQ(requestOf("gemini://h").query, std::nullopt);
  EXPECT_EQ(requestOf("gemini://h?").query, "");
}

TEST(PathMap, FindsTheLongestPrefixOnASegmentsBorder) {
  const auto map = pathMap({"/", "/wiki", "/wiki/deep/er", "/a"});
  const struct {
    const char* path;
    const char* site;
    std::size_t mountLength;
  } cases[] = {
      {"/", "/", 0},
      {"/x", "/", 0},
      {"/x/", "/", 0},
      {"/wiki", "/wiki", 5},
      {"/wiki/", "/wiki", 5},
      {"/wiki/x", "/wiki", 5},
      {"/wiki/deep", "/wiki", 5},
      {"/wiki/deep/er", "/wiki/deep/er", 13},
      {"/wiki/deep/er/", "/wiki/deep/er", 13},
      {"/wiki/deep/er/and/further/on", "/wiki/deep/er", 13},
      {"/wiki/deep/ers", "/wiki", 5},
      {"/wikis", "/", 0},
      {"/wik", "/", 0},
      {"/ab", "/", 0},
      {"/a/wiki", "/a", 2},
  };
  for (const auto& c : cases) {
    const PathMap::Match match = map->find(c.path);
    EXPECT_EQ(siteName(match.site), c.site) << c.path;
    EXPECT_EQ(match.mountLength, c.mountLength) << c.path;
  }
}

TEST(PathMap, FindsNothingBesideItsMounts) {
  const auto map = pathMap({"/wiki"});
  for (const auto* path : {"/", "/w", "/wikis/x", "/x/wiki"}) {
    EXPECT_EQ(map->find(path).site, nullptr) << path;
  }
  EXPECT_EQ(PathMap().find("/").site, nullptr);
}

TEST(HostMap, PrefersTheExactNameThenTheWildcardThenTheRest) {
  HostMap<int> hosts;
  hosts.add("example.org", 1);
  hosts.add("*.example.org", 2);
  hosts.add("a.example.org", 3);
  const struct {
    const char* host;
    int value;  ///< 0: none
  } cases[] = {
      {"example.org", 1},
      {"a.example.org", 3},
      {"b.example.org", 2},
      {"a.b.example.org", 0},
      {"badexample.org", 0},
      {".example.org", 0},
      {"org", 0},
      {"127.0.0.1", 0},
      {"example.org.evil", 0},
      {"", 0},
  };
  for (const auto& c : cases) {
    const int* value = hosts.find(c.host);
    EXPECT_EQ(value == nullptr ? 0 : *value, c.value) << c.host;
  }
  hosts.add("*", 9);
  for (const auto& c : cases) {
    EXPECT_EQ(*hosts.find(c.host), c.value == 0 ? 9 : c.value) << c.host;
  }
}

}  // namespace
}  // namespace egalaxyd
