#include "worker/plugin/plugin_loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/unit/worker/site_harness.h"

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
      {library("good"), "Greter", {}, "no such site in it; it has Clumsy, Greeter, Unborn"},
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
  EXPECT_NE(unclear.error().message.find("which rate limiter is meant: Never, Stumbling"),
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

TEST(PluginGuard, HidesAQueryOfWhichTheSiteCannotTell) {
  EXPECT_TRUE(goodSite("Clumsy")->hidesQuery("/"));
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
}

}  // namespace
}  // namespace egalaxyd
