#include "worker/plugin/plugin_loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

std::string library(const std::string& name) {
  return std::string(EGALAXYD_TEST_PLUGIN_DIR) + "/" + name + ".so";
}

std::shared_ptr<Site> goodSite(const std::string& className,
                               std::map<std::string, std::string> args = {}) {
  auto site = loadSite({library("good"), className, std::move(args)});
  if (!site) throw std::runtime_error(site.error().message);
  return *site;
}

TEST(PluginLoader, MakesAndConfiguresASite) {
  SiteHarness harness;
  EXPECT_EQ(harness.ask(*goodSite("Greeter"), requestFor("/")).body, "Hello");
  EXPECT_EQ(harness.ask(*goodSite("Greeter", {{"greeting", "Salut"}}), requestFor("/")).body,
            "Salut");
}

TEST(PluginLoader, FindsALibraryByEveryPathThatLeadsToIt) {
  const TempDir dir;
  fs::create_symlink(library("good"), dir / "link.so");
  EXPECT_TRUE(loadSite({dir / "link.so", "Greeter", {}}));
  EXPECT_TRUE(loadSite({fs::relative(library("good")), "Greeter", {}}));
}

TEST(PluginLoader, NamesLibraryClassAndWhatIsWrong) {
  const TempDir dir;
  const std::string text = dir.write("text.so", "This is no library.\n");
  struct Case {
    std::string file, className;
    std::map<std::string, std::string> args;
    std::string problem;
  };
  const Case cases[] = {
      {dir / "none.so", "Greeter", {}, "No such file"},
      {text, "Greeter", {}, "cannot be loaded: "},
      {library("no_plugin"), "Greeter", {}, "EGALAXYD_PLUGIN is missing"},
      {library("other_abi"), "Greeter", {}, "built for plug-in ABI"},
      {library("missing_symbol"), "Caller", {}, "nowhereDefined"},
      {library("wrong_base"), "Impostor", {}, "Manifest class mismatch"},
      {library("good"),
       "Greter",
       {},
       "no such site in it; it has Clumsy, Greeter, Patient, Unborn"},
      {library("good"), "OwnRouter", {}, "no such site"},
      {library("good"), "Unborn", {}, "not today"},
      {library("good"), "Greeter", {{"greting", "x"}}, "no \"greting\" is wanted"},
      {library("good"), "Clumsy", {{"x", "y"}}, "\"x\" is not known"},
  };
  for (const Case& each : cases) {
    const auto site = loadSite({each.file, each.className, each.args});
    ASSERT_FALSE(site) << each.file << " " << each.className;
    const std::string& message = site.error().message;
    EXPECT_NE(message.find(each.file), std::string::npos) << message;
    EXPECT_NE(message.find(each.className), std::string::npos) << message;
    EXPECT_NE(message.find(each.problem), std::string::npos) << message;
  }
}

TEST(PluginLoader, TakesALibraryThatWasMendedMeanwhile) {
  const TempDir dir;
  const fs::path path = dir / "mended.so";
  fs::copy_file(library("other_abi"), path);
  EXPECT_FALSE(loadSite({path, "Greeter", {}}));
  fs::copy_file(library("good"), dir / "new.so");
  fs::rename(dir / "new.so", path);
  EXPECT_TRUE(loadSite({path, "Greeter", {}}));
}

TEST(PluginLoader, AModuleNamesItsClassWhereThereAreSeveral) {
  EXPECT_TRUE(loadRouter(library("good")));
  EXPECT_TRUE(loadRouter(library("good") + ":OwnRouter"));
  EXPECT_TRUE(loadRateLimiter(library("good") + ":Never"));
  const auto unclear = loadRateLimiter(library("good"));
  ASSERT_FALSE(unclear);
  EXPECT_NE(unclear.error().message.find("which rate limiter is meant: Forever, Never, Stumbling"),
            std::string::npos)
      << unclear.error().message;
  const auto unknown = loadRouter(library("good") + ":mine::Router");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("class mine::Router: there is no such router"),
            std::string::npos)
      << unknown.error().message;
}

TEST(PluginGuard, AnswersAnExceptionWith42) {
  SiteHarness harness;
  const auto site = goodSite("Clumsy");
  for (const char* path : {"/throw", "/throw-int", "/keep-and-throw"}) {
    EXPECT_EQ(harness.ask(*site, requestFor(path)).status, 42) << path;
  }
  EXPECT_EQ(harness.ask(*site, requestFor("/kept")).body, "sent");
}

TEST(PluginGuard, LetsAnAnswerStandThatCameBeforeTheException) {
  SiteHarness harness;
  EXPECT_EQ(harness.ask(*goodSite("Clumsy"), requestFor("/answer-and-throw")).body, "in time");
}

TEST(PluginGuard, PassesADroppedResponderOn) {
  SiteHarness harness;
  EXPECT_EQ(harness.ask(*goodSite("Clumsy"), requestFor("/drop")).status, 0);
}

TEST(PluginGuard, EndsABodyThatThrows) {
  SiteHarness harness;
  const Answer answer = harness.ask(*goodSite("Clumsy"), requestFor("/body"));
  EXPECT_EQ(answer.body, "begun");
  EXPECT_FALSE(answer.complete);
}

TEST(PluginGuard, EndsABodyThatDoesNotKeepItsPromises) {
  SiteHarness harness;
  const auto site = goodSite("Clumsy");
  for (const char* path :
       {"/body/too-much", "/body/more-of-nothing", "/body/later-with-bytes", "/body/no-state"}) {
    const Answer answer = harness.ask(*site, requestFor(path));
    EXPECT_EQ(answer.body, "") << path;
    EXPECT_FALSE(answer.complete) << path;
  }
}

TEST(PluginGuard, PullsABodyAgainThatWasAwakeBeforeItSaidLater) {
  SiteHarness harness;
  const Answer answer = harness.ask(*goodSite("Clumsy"), requestFor("/body/hasty"));
  EXPECT_EQ(answer.body, "soon");
  EXPECT_TRUE(answer.complete);
}

TEST(PluginGuard, TakesTheFirstOfTwoAnswers) {
  SiteHarness harness;
  EXPECT_EQ(harness.ask(*goodSite("Clumsy"), requestFor("/answer-twice")).body, "once");
}

TEST(PluginGuard, BringsAnAnswerOfAnotherThreadToTheLoop) {
  SiteHarness harness;
  const auto site = goodSite("Clumsy");
  const auto here = std::this_thread::get_id();
  for (const char* path : {"/other-thread", "/drop-elsewhere"}) {
    bool answered = false;
    site->handle(requestFor(path), Responder([&](std::optional<Response> response) {
                   EXPECT_EQ(std::this_thread::get_id(), here);
                   EXPECT_EQ(response.has_value(), path == std::string("/other-thread"));
                   answered = true;
                   harness.loop().stop();
                 }),
                 harness.services());
    EXPECT_FALSE(answered);
    harness.loop().run();
    EXPECT_TRUE(answered);
  }
}

/// A request whose body is `chunks`, given on the loop.
Request uploadOf(std::string path, std::vector<std::string> chunks, EventLoop& loop) {
  struct Feed {
    std::shared_ptr<RequestBody> body;
    std::vector<std::string> chunks;
    std::size_t next = 0;
  };
  const auto feed = std::make_shared<Feed>(Feed{nullptr, std::move(chunks)});
  std::uint64_t size = 0;
  for (const auto& chunk : feed->chunks) size += chunk.size();
  Request request = requestFor(std::move(path));
  request.body = std::make_shared<RequestBody>(size, [feed = feed.get(), &loop] {
    loop.defer([feed] {
      while (feed->body->isWanted()) {
        const bool more = feed->next < feed->chunks.size();
        feed->body->give(more ? feed->chunks[feed->next++] : std::string());
      }
    });
  });
  feed->body = request.body;
  loop.defer([feed] {});  // lives as long as the loop's turn does
  return request;
}

TEST(PluginGuard, SurvivesAnExceptionOutOfWhatServicesRan) {
  SiteHarness harness;
  const auto site = goodSite("Clumsy");
  for (const char* path : {"/throw-later", "/throw-in-the-pool", "/throw-behind-the-pool"}) {
    EXPECT_EQ(harness.ask(*site, requestFor(path)).status, 0) << path;
    EXPECT_EQ(harness.pool().pending(), 0u) << path;
  }
}

TEST(PluginGuard, AnExceptionOfABodysCallbackEndsItsOwnRequest) {
  SiteHarness harness;
  // Its responder went with the callback: the exchange makes a 42 of that.
  Request request = uploadOf("/read-and-throw", {"x"}, harness.loop());
  EXPECT_EQ(harness.ask(*goodSite("Clumsy"), std::move(request)).status, 0);
}

TEST(PluginGuard, ReadsALongBodyWithoutALevelOfTheStackForEachChunk) {
  SiteHarness harness;
  Request request = uploadOf("/read", std::vector<std::string>(1000, "12345"), harness.loop());
  EXPECT_EQ(harness.ask(*goodSite("Clumsy"), std::move(request)).body, "5000 bytes, depth 1");
}

TEST(PluginGuard, EndsAReaderThatDoesNotSeeTheEnd) {
  SiteHarness harness;
  const auto site = goodSite("Clumsy");
  EXPECT_EQ(harness.ask(*site, uploadOf("/read-forever", {"x"}, harness.loop())).status, 0);
}

TEST(PluginGuard, TakesNothingWhereTheSiteNamesNoKindThatThereIs) {
  EXPECT_EQ(goodSite("Clumsy")->takes("/takes-what-there-is-not"), AcceptedBody::kNothing);
  EXPECT_EQ(goodSite("Clumsy")->takes("/"), AcceptedBody::kInput);
}

TEST(PluginGuard, HidesAQueryOfWhichTheSiteCannotTell) {
  EXPECT_TRUE(goodSite("Clumsy")->hidesQuery("/"));
  EXPECT_FALSE(goodSite("Clumsy")->takesEncodedSlash("/"));
  EXPECT_FALSE(goodSite("Greeter")->hidesQuery("/"));
}

TEST(PluginGuard, AnswersARoutersExceptionWith42) {
  SiteHarness harness;
  const auto router = *loadRouter(library("good"));
  EXPECT_TRUE(router->serves("plain"));
  EXPECT_FALSE(router->serves("other"));
  EXPECT_TRUE(router->serves("broken"));
  const auto broken = router->find("broken", "/");
  ASSERT_NE(broken.site, nullptr);
  EXPECT_EQ(harness.ask(*broken.site, requestFor("/")).status, 42);
}

TEST(PluginGuard, GuardsTheSitesOfARouterAndKeepsMatchesWithinThePath) {
  SiteHarness harness;
  const auto router = *loadRouter(library("good"));
  const auto clumsy = router->find("clumsy", "/throw");
  EXPECT_EQ(harness.ask(*clumsy.site, requestFor("/throw")).status, 42);
  EXPECT_EQ(router->find("clumsy", "/").site, clumsy.site);
  EXPECT_EQ(router->find("plain", "/abc").mountLength, 4u);
}

TEST(PluginGuard, LetsPassWhatARateLimiterStumblesOver) {
  const auto client = *IpAddress::parse("192.0.2.1");
  EXPECT_EQ((*loadRateLimiter(library("good") + ":Stumbling"))->count(client), std::nullopt);
  EXPECT_EQ((*loadRateLimiter(library("good") + ":Never"))->count(client), std::chrono::seconds(1));
  EXPECT_EQ((*loadRateLimiter(library("good") + ":Forever"))->count(client),
            std::chrono::hours(24));
}

}  // namespace
}  // namespace egalaxyd
