#include "worker/module/site_factory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/config/config_loader.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/worker/module/site_harness.h"
#include "worker/module/file_site.h"
#include "worker/module/redirect_site.h"
#include "worker/module/reply_site.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

SiteConfig host(std::string name, std::vector<MountConfig> mounts) {
  SiteConfig site;
  site.host = std::move(name);
  site.mounts = std::move(mounts);
  return site;
}

MountConfig mount(std::string path, ModuleArgs args) {
  MountConfig config;
  config.where = "egalaxyd.toml:7: " + path;
  config.path = std::move(path);
  config.args = std::move(args);
  return config;
}

DirectoryArgs directory(fs::path root) {
  DirectoryArgs args;
  args.root = std::move(root);
  return args;
}

TEST(SiteFactory, BuildsEveryMountAndSharesItWithAliases) {
  const TempDir dir;
  dir.write("page.gmi", "hello");
  Config config;
  config.sites = {
      host("example.org",
           {mount("/", directory(dir.path())), mount("/one", FileArgs{dir / "page.gmi", ""}),
            mount("/old", RedirectArgs{"/new", true}), mount("/gone", ReplyArgs{52, "Gone", ""})})};
  config.sites[0].aliases = {"www.example.org", "*.example.net"};
  ServedRoots roots;
  Findings findings;
  const auto hosts = buildSites(config, roots, findings);
  EXPECT_TRUE(findings.complaints.empty());
  const auto* sites = hosts.find("example.org");
  ASSERT_NE(sites, nullptr);
  EXPECT_EQ(hosts.find("www.example.org")->get(), sites->get());
  EXPECT_EQ(hosts.find("a.example.net")->get(), sites->get());
  SiteHarness harness;
  EXPECT_EQ(harness.ask(*(*sites)->find("/page.gmi").site, requestFor("/page.gmi")).body, "hello");
  EXPECT_EQ(harness.ask(*(*sites)->find("/one").site, requestFor("/one", "/one")).body, "hello");
  EXPECT_EQ(harness.ask(*(*sites)->find("/old").site, requestFor("/old", "/old")).header(),
            "31 /new");
  EXPECT_EQ(harness.ask(*(*sites)->find("/gone").site, requestFor("/gone", "/gone")).header(),
            "52 Gone");
}

TEST(SiteFactory, GivesAHostsLanguageToItsSites) {
  const TempDir dir;
  dir.write("page.gmi", "x");
  DirectoryArgs french = directory(dir.path());
  french.lang = "fr";
  Config config;
  config.sites = {host("a", {mount("/", directory(dir.path())), mount("/fr", french),
                             mount("/one", FileArgs{dir / "page.gmi", ""})})};
  config.sites[0].lang = "en";
  ServedRoots roots;
  Findings findings;
  const auto hosts = buildSites(config, roots, findings);
  const auto& sites = **hosts.find("a");
  SiteHarness harness;
  EXPECT_EQ(harness.ask(*sites.find("/x").site, requestFor("/page.gmi")).meta,
            "text/gemini; lang=en");
  EXPECT_EQ(harness.ask(*sites.find("/fr").site, requestFor("/fr/page.gmi", "/fr")).meta,
            "text/gemini; lang=fr");
  EXPECT_EQ(harness.ask(*sites.find("/one").site, requestFor("/one", "/one")).meta,
            "text/gemini; lang=en");
}

TEST(SiteFactory, ComplainsOfEverythingThatCannotBeBuilt) {
  const TempDir dir;
  Config config;
  AuthenticatedArgs club;
  club.ca = dir / "nowhere.pem";
  PluginArgs plugin;
  plugin.library = dir / "nowhere.so";
  plugin.className = "x";
  config.sites = {host("a", {mount("/club", club), mount("/plugin", plugin),
                             mount("/nonsense", ReplyArgs{21, "x", ""}),
                             mount("/fine", ReplyArgs{52, "Gone", ""})})};
  ServedRoots roots;
  Findings findings;
  const auto hosts = buildSites(config, roots, findings);
  const Complaints& complaints = findings.complaints;
  ASSERT_EQ(complaints.size(), 2u);  // a status is the configuration check's
  EXPECT_EQ(complaints[0].where, "egalaxyd.toml:7: /club");
  EXPECT_NE(complaints[0].text.find((dir / "nowhere.pem").string()), std::string::npos);
  EXPECT_NE(complaints[1].text.find((dir / "nowhere.so").string()), std::string::npos);
  EXPECT_EQ((*hosts.find("a"))->find("/club").site, nullptr);
  EXPECT_NE((*hosts.find("a"))->find("/fine").site, nullptr);
}

TEST(SiteFactory, WhatIsAwayIsASiteAllTheSame) {
  const TempDir dir;
  const fs::path file = dir.write("file", "x");
  Config config;
  config.sites = {host(
      "a", {mount("/missing", directory(dir / "nowhere")), mount("/file", directory(file)),
            mount("/gone", FileArgs{dir / "nowhere/page.gmi", ""}),
            mount("/folder", FileArgs{dir.path(), ""}), mount("/here", directory(dir.path()))})};
  ServedRoots roots;
  Findings findings;
  const auto hosts = buildSites(config, roots, findings);
  EXPECT_TRUE(findings.complaints.empty());
  const auto& sites = **hosts.find("a");
  SiteHarness harness;
  for (const char* away : {"/missing", "/file"}) {
    const auto path = std::string(away) + "/page.gmi";
    EXPECT_EQ(harness.ask(*sites.find(away).site, requestFor(path, away)).status, 41) << away;
  }
  EXPECT_EQ(harness.ask(*sites.find("/gone").site, requestFor("/gone", "/gone")).status, 41);
  ASSERT_EQ(roots.count(), 5u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(roots.presence(i).kind, Presence::Kind::kAway) << roots.path(i);
    EXPECT_NE(roots.presence(i).why, "");
  }
  EXPECT_EQ(roots.presence(4), Presence{});
}

TEST(SiteFactory, ComplainsOfTheLineThatNamesTheFile) {
  const std::pair<const char*, const char*> cases[] = {
      {"module = \"authenticated\"\nca = \"/nowhere/at/all\"\nsites.\"/\".module = \"spy\"", ".ca"},
      {"module = \"plugin\"\nlibrary = \"/nowhere/at/all\"\nclass = \"C\"", ".library"}};
  for (const auto& [toml, key] : cases) {
    const auto loaded = parseConfig("[sites.h.\"/\"]\n" + std::string(toml), "e.toml");
    ServedRoots roots;
    Findings findings;
    buildSites(loaded.config, roots, findings);
    const Complaints& complaints = findings.complaints;
    ASSERT_EQ(complaints.size(), 1u) << toml;
    EXPECT_EQ(complaints[0].where, "e.toml:3: sites.h.\"/\"" + std::string(key));
  }
}

TEST(FileSite, AnswersAtItsOwnPathAlone) {
  const TempDir dir;
  FileSite site(FileArgs{dir.write("robots.txt", "User-agent: *\n"), ""}, "");
  SiteHarness harness;
  EXPECT_EQ(harness.ask(site, requestFor("/robots.txt", "/robots.txt")).body, "User-agent: *\n");
  EXPECT_EQ(harness.ask(site, requestFor("/robots.txt", "/robots.txt")).meta, "text/plain");
  EXPECT_EQ(harness.ask(site, requestFor("/robots.txt/", "/robots.txt")).status, 51);
  EXPECT_EQ(harness.ask(site, requestFor("/robots.txt/a", "/robots.txt")).status, 51);
  EXPECT_EQ(harness.ask(site, requestFor("/", "/")).status, 20);
  EXPECT_EQ(harness.ask(site, requestFor("/a", "/")).status, 51);
}

TEST(FileSite, AnswersNotFoundWhileTheFileIsAway) {
  const TempDir dir;
  const fs::path path = dir.write("page", "old");
  FileSite site(FileArgs{path, "text/x-mine"}, "");
  SiteHarness harness;
  fs::remove(path);
  EXPECT_EQ(harness.ask(site, requestFor("/p", "/p")).header(), "51 Not found");
  dir.write("page", "new");
  EXPECT_EQ(harness.ask(site, requestFor("/p", "/p")).header(), "20 text/x-mine");
  fs::remove(path);
  dir.makeDir("page");
  EXPECT_EQ(harness.ask(site, requestFor("/p", "/p")).header(), "51 Not found");
}

TEST(RedirectSite, FillsInWhatTheTemplateNames) {
  struct Case {
    std::string to, path, query, target;
  };
  const Case cases[] = {
      {"/new", "/old/a", "", "/new"},
      {"/new%path%", "/old/a b/\u00e9", "", "/new/a%20b/%C3%A9"},
      {"/new%path%", "/old", "", "/new"},
      {"/new/%path%", "/old/a/b", "", "/new/a/b"},
      {"/new/%path%", "/old/", "", "/new/"},
      {"/new/%path%", "/old", "", "/new/"},
      {"gemini://%host%:1966%path%?%query%", "/old/x", "q=%20\u00e9",
       "gemini://[2001:db8::1]:1966/x?q=%20%C3%A9"},
      {"/a%20b?%query%", "/old", "%path%", "/a%20b?%path%"},
      {"/%path%", "/old/evil", "", "/evil"},
      {"%path%", "/old", "", "/"},
      {"/100%", "/old", "", "/100%"},
  };
  SiteHarness harness;
  for (const Case& each : cases) {
    RedirectSite site(RedirectArgs{each.to, false});
    Request request = requestFor(each.path, "/old");
    request.host = "2001:db8::1";
    if (!each.query.empty()) request.query = each.query;
    EXPECT_EQ(harness.ask(site, std::move(request)).header(), "30 " + each.target) << each.to;
  }
}

TEST(RedirectSite, RefusesATargetThatIsTooLong) {
  RedirectSite site(RedirectArgs{"/new%path%", true});
  SiteHarness harness;
  const auto answer = harness.ask(site, requestFor("/o/" + std::string(kMaxUriBytes, 'x'), "/o"));
  EXPECT_EQ(answer.status, 59);
}

TEST(ReplySite, SendsABodyWithASuccessAlone) {
  SiteHarness harness;
  ReplySite page(ReplyArgs{20, "text/plain", "Hello\n"});
  EXPECT_EQ(harness.ask(page, requestFor("/")).header(), "20 text/plain");
  EXPECT_EQ(harness.ask(page, requestFor("/any")).body, "Hello\n");
  ReplySite closed(ReplyArgs{41, "Back at noon", "ignored"});
  EXPECT_EQ(harness.ask(closed, requestFor("/")).header(), "41 Back at noon");
  EXPECT_EQ(harness.ask(closed, requestFor("/")).body, "");
}

}  // namespace
}  // namespace egalaxyd
