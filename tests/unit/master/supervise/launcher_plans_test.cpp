#include "master/supervise/launcher_plans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

Config dynamicConfig(std::vector<MountConfig> mounts) {
  Config config;
  config.server.stateDir = "/state";
  config.server.runtimeDir = "/run/e";
  config.dynamic.processes = 20;
  SiteConfig site;
  site.host = "localhost";
  site.mounts = std::move(mounts);
  config.sites.push_back(std::move(site));
  return config;
}

MountConfig cgiMount(std::string path, CgiArgs args) {
  if (args.root.empty() && args.script.empty()) args.root = "/srv/cgi";
  return {.path = std::move(path), .where = "somewhere", .args = std::move(args)};
}

CgiArgs argsOf(std::string account) {
  CgiArgs args;
  args.account = std::move(account);
  return args;
}

/// Accounts have what `known` says, any other is the workers' own.
LauncherSources sourcesOf(std::map<std::string, Result<ScriptAccount>> known = {}) {
  return {[known = std::move(known)](const std::string& name) -> Result<ScriptAccount> {
            const auto found = known.find(name);
            if (found != known.end()) return found->second;
            ScriptAccount account;
            account.account.user = name;
            account.isWorkers = true;
            return account;
          },
          [](const std::string& name) -> std::optional<std::string> {
            if (name == "TZ") return "UTC";
            if (name == "LANGUAGE") return "eo";
            return std::nullopt;
          }};
}

std::vector<WantedLauncher> launchersOf(const Config& config,
                                        const LauncherSources& sources = sourcesOf()) {
  Complaints complaints;
  auto wanted = wantedLaunchers(config, sources, complaints);
  EXPECT_THAT(complaints, IsEmpty());
  return wanted;
}

TEST(LauncherPlans, NothingDynamicNeedsNone) {
  EXPECT_THAT(launchersOf(dynamicConfig({})), IsEmpty());
}

TEST(LauncherPlans, HaveTheServersNumbers) {
  Config config = dynamicConfig({cgiMount("/cgi-bin", {})});
  config.dynamic.queue = 3;
  config.dynamic.queueTimeout = milliseconds(700);
  const auto wanted = launchersOf(config);
  ASSERT_THAT(wanted, SizeIs(1));
  EXPECT_EQ(wanted[0].plan.processes, 20U);
  EXPECT_EQ(wanted[0].plan.queue, 3U);
  EXPECT_EQ(wanted[0].plan.queueTimeout, milliseconds(700));
}

TEST(LauncherPlans, SayHowScriptsRun) {
  CgiArgs args;
  args.script = "/usr/bin/thing";
  args.args = {"-x"};
  args.cwd = "/srv";
  args.symlinks = SymlinkPolicy::kFollow;
  args.processes = 3;
  args.cpuTime = milliseconds(1'500);
  args.program.times.whole = milliseconds(10'000);
  const auto wanted = launchersOf(dynamicConfig({cgiMount("/thing", args)}));
  ASSERT_THAT(wanted, SizeIs(1));
  ASSERT_THAT(wanted[0].plan.mounts, SizeIs(1));
  const ScriptMount& mount = wanted[0].plan.mounts[0];
  EXPECT_EQ(mount.name, "/thing");
  EXPECT_EQ(mount.program, "/usr/bin/thing");
  EXPECT_EQ(mount.root, "");
  EXPECT_THAT(mount.arguments, ElementsAre("-x"));
  EXPECT_EQ(mount.folder, "/srv");
  EXPECT_TRUE(mount.followsLinks);
  EXPECT_EQ(mount.processes, 3U);
  EXPECT_EQ(mount.cpuSeconds, 2U);
  EXPECT_EQ(mount.whole, milliseconds(10'000));
  EXPECT_EQ(mount.longest, milliseconds(100'000));
}

TEST(LauncherPlans, WhatIsOffHasNoLimit) {
  CgiArgs args;
  args.cpuTime = std::nullopt;
  args.program.times.whole = std::nullopt;
  const auto wanted = launchersOf(dynamicConfig({cgiMount("/", args)}));
  EXPECT_EQ(wanted.at(0).plan.mounts.at(0).cpuSeconds, 0U);
  EXPECT_EQ(wanted.at(0).plan.mounts.at(0).whole, milliseconds(0));
  EXPECT_EQ(wanted.at(0).plan.mounts.at(0).longest, milliseconds(0));
}

TEST(LauncherPlans, AMountHasEightProcessesOrTheServersFewer) {
  Config config = dynamicConfig({cgiMount("/", {})});
  EXPECT_EQ(launchersOf(config).at(0).plan.mounts.at(0).processes, 8U);
  config.dynamic.processes = 5;
  EXPECT_EQ(launchersOf(config).at(0).plan.mounts.at(0).processes, 5U);
}

TEST(LauncherPlans, PassWhatTheServerHasUnlessItIsWritten) {
  CgiArgs args;
  args.program.env = {{"A", "1"}, {"LANGUAGE", "de"}};
  args.pass = {"TZ", "LANGUAGE", "MISSING"};
  const auto wanted = launchersOf(dynamicConfig({cgiMount("/", args)}));
  EXPECT_THAT(wanted.at(0).plan.mounts.at(0).environment,
              ElementsAre(Pair("A", "1"), Pair("LANGUAGE", "de"), Pair("TZ", "UTC")));
}

TEST(LauncherPlans, EachAccountHasItsMountsAndTheFirstCallsApplications) {
  ScgiArgs scgi;
  scgi.upstream.to = {"unix:/run/app.sock", "127.0.0.1:4000"};
  scgi.upstream.connectTimeout = milliseconds(50);
  const Config config = dynamicConfig({cgiMount("/a", {}),
                                       cgiMount("/b", argsOf("bob")),
                                       {.path = "/app", .where = "somewhere", .args = scgi},
                                       cgiMount("/c", {})});
  const auto wanted = launchersOf(config);
  ASSERT_THAT(wanted, SizeIs(2));
  EXPECT_EQ(wanted[1].account.account.user, "bob");
  ASSERT_THAT(wanted[0].plan.mounts, SizeIs(2));
  EXPECT_EQ(wanted[0].plan.mounts[0].number, 0U);
  EXPECT_EQ(wanted[0].plan.mounts[1].number, 2U);
  ASSERT_THAT(wanted[1].plan.mounts, SizeIs(1));
  EXPECT_EQ(wanted[1].plan.mounts[0].number, 1U);
  EXPECT_THAT(wanted[1].plan.upstreams, IsEmpty());
  ASSERT_THAT(wanted[0].plan.upstreams, SizeIs(2));
  EXPECT_EQ(wanted[0].plan.upstreams[1].number, 1U);
  EXPECT_EQ(wanted[0].plan.upstreams[1].address, "127.0.0.1:4000");
  EXPECT_EQ(wanted[0].plan.upstreams[1].connectTimeout, milliseconds(50));
}

TEST(LauncherPlans, TheFirstCallsTheApplicationsOfUsersToo) {
  HomesArgs args;
  args.root = "/home/%user%/pages";
  args.users = {"alice", "bob"};
  args.minUid = 500;
  const MountConfig mount{.path = "/~", .where = "somewhere", .args = args};
  EXPECT_THAT(launchersOf(dynamicConfig({mount})), IsEmpty()) << "they have none";
  args.socket = "%home%/.gemini.sock";
  const auto wanted =
      launchersOf(dynamicConfig({{.path = "/~", .where = "somewhere", .args = args}}));
  ASSERT_THAT(wanted, SizeIs(1));
  ASSERT_THAT(wanted[0].plan.upstreams, SizeIs(1));
  const UpstreamPlace& place = wanted[0].plan.upstreams[0];
  EXPECT_EQ(place.address, "unix:%home%/.gemini.sock");
  EXPECT_THAT(place.users, ElementsAre("alice", "bob"));
  EXPECT_EQ(place.minUid, 500U);
}

MountConfig homesMount(std::vector<std::string> users, bool asUser) {
  HomesArgs args;
  args.root = "/home/%user%/pages";
  args.users = std::move(users);
  args.cgi = "cgi";
  args.asUser = asUser;
  args.processes = 2;
  return {.path = "/~", .where = "somewhere", .args = std::move(args)};
}

TEST(LauncherPlans, EachUserOfHomesHasScriptsOfAnAccount) {
  const auto wanted = launchersOf(dynamicConfig({homesMount({"alice", "bob"}, true)}));
  ASSERT_THAT(wanted, SizeIs(3));
  EXPECT_THAT(wanted[0].plan.mounts, IsEmpty());
  EXPECT_EQ(wanted[2].account.account.user, "bob");
  ASSERT_THAT(wanted[2].plan.mounts, SizeIs(1));
  const ScriptMount& mount = wanted[2].plan.mounts[0];
  EXPECT_EQ(mount.number, 1U);
  EXPECT_EQ(mount.name, "/~bob/cgi");
  EXPECT_EQ(mount.root, "/home/bob/pages/cgi");
  EXPECT_TRUE(mount.ownOnly);
  EXPECT_FALSE(mount.anyUser);
  EXPECT_EQ(mount.processes, 2U);
}

TEST(LauncherPlans, ScriptsOfHomesMayHaveTheServersAccount) {
  const auto named = launchersOf(dynamicConfig({homesMount({"alice", "bob"}, false)}));
  ASSERT_THAT(named, SizeIs(1));
  ASSERT_THAT(named[0].plan.mounts, SizeIs(2));
  EXPECT_EQ(named[0].plan.mounts[0].root, "/home/alice/pages/cgi");
  EXPECT_FALSE(named[0].plan.mounts[0].ownOnly);
  const auto any = launchersOf(dynamicConfig({homesMount({"alice", "*"}, false)}));
  ASSERT_THAT(any.at(0).plan.mounts, SizeIs(1));
  const ScriptMount& mount = any[0].plan.mounts[0];
  EXPECT_EQ(mount.name, "/~");
  EXPECT_EQ(mount.root, "/home/%user%/pages/cgi");
  EXPECT_TRUE(mount.anyUser);
}

TEST(LauncherPlans, HomesWithoutScriptsNeedNone) {
  MountConfig mount = homesMount({"alice"}, true);
  std::get<HomesArgs>(mount.args).cgi = "";
  EXPECT_THAT(launchersOf(dynamicConfig({mount})), IsEmpty());
}

TEST(LauncherPlans, HideTheServersFoldersWhereTheAccountIsTheWorkers) {
  const Config config = dynamicConfig({cgiMount("/a", {}), cgiMount("/b", argsOf("bob"))});
  const auto wanted = launchersOf(config, sourcesOf({{"bob", ScriptAccount{}}}));
  ASSERT_THAT(wanted, SizeIs(2));
  EXPECT_THAT(wanted[0].plan.hidden, ElementsAre("/state", "/run/e"));
  EXPECT_THAT(wanted[1].plan.hidden, IsEmpty());
}

TEST(LauncherPlans, AnAccountThatCannotBeHadIsAComplaintAboutItsKey) {
  MountConfig mount = cgiMount("/b", argsOf("bob"));
  mount.dottedKey = R"(sites."localhost"."/b")";
  Complaints complaints;
  wantedLaunchers(dynamicConfig({mount}),
                  sourcesOf({{"bob", Error{ErrorCode::kNotFound, "there is no bob"}}}), complaints);
  ASSERT_THAT(complaints, SizeIs(1));
  EXPECT_EQ(complaints[0].where, R"(sites."localhost"."/b".account)");
  EXPECT_EQ(complaints[0].text, "there is no bob");
}

}  // namespace
}  // namespace egalaxyd
