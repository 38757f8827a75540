#include "worker/module/homes_site.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/temp_dir.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

class HomesSiteTest : public testing::Test {
 protected:
  HomesSiteTest() {
    args_.root = dir_ / "home/%user%/pages";
    args_.minUid = ::geteuid();
    dir_.write("home/alice/pages/index.gmi", "# Alice\n");
    dir_.write("home/bob/pages/a b.txt", "bob");
  }
  HomesSite& site() {
    if (!site_) {
      const auto keys = std::make_shared<const PrivateFiles>();
      auto pages = std::make_unique<DirectorySite>("example.org", DirectoryArgs{}, nullptr, keys);
      site_ = std::make_unique<HomesSite>(args_, HomeFolders(args_, keys), std::move(pages),
                                          HomesSite::Scripts(), std::move(applications_));
    }
    return *site_;
  }
  /// `mount`: up to the name's end, as the router has it.
  Answer get(std::string path, std::string_view mount) {
    return harness_.ask(site(), requestFor(std::move(path), mount));
  }
  int statusOf(const std::string& mount) { return get(mount + "/", mount).status; }

  const TempDir dir_;
  SiteHarness harness_;
  HomesArgs args_;
  std::unique_ptr<ApplicationSite> applications_;
  std::unique_ptr<HomesSite> site_;
};

TEST_F(HomesSiteTest, EachUserHasPages) {
  EXPECT_EQ(get("/~alice/", "/~alice").body, "# Alice\n");
  EXPECT_EQ(get("/~bob/a b.txt", "/~bob").body, "bob");
  EXPECT_EQ(get("/~bob/index.gmi", "/~bob").status, 51) << "hers are not his";
  EXPECT_EQ(get("/~alice", "/~alice").header(), "31 /~alice/");
}

TEST_F(HomesSiteTest, TheNameStandsAtTheEndOfTheMount) {
  EXPECT_EQ(get("/~bob/~alice/", "/~bob/~alice").body, "# Alice\n");
  EXPECT_EQ(get("/members/~alice/", "/members/~alice").body, "# Alice\n");
}

TEST_F(HomesSiteTest, WhatIsNoNameIsNotFound) {
  dir_.write("home/Alice/pages/index.gmi", "x");
  dir_.write("home/.hidden/pages/index.gmi", "x");
  dir_.write("pages/index.gmi", "x");
  for (const char* mount : {"/~", "/~..", "/~.hidden", "/~Alice", "/~nobody", "/~a\tb"}) {
    EXPECT_EQ(statusOf(mount), 51) << mount;
  }
}

TEST_F(HomesSiteTest, OnlyListedUsersHavePages) {
  args_.users = {"bob"};
  EXPECT_EQ(statusOf("/~alice"), 51);
  EXPECT_EQ(get("/~bob/a b.txt", "/~bob").status, 20);
}

TEST_F(HomesSiteTest, FoldersOfTheSystemsAccountsAreNotServed) {
  args_.minUid = ::geteuid() + 1;
  EXPECT_EQ(statusOf("/~alice"), 51);
}

TEST_F(HomesSiteTest, NothingLeadsOutOfAHome) {
  dir_.write("home/alice/secret", "secret");
  fs::create_symlink("../secret", dir_ / "home/alice/pages/out");
  fs::create_symlink("index.gmi", dir_ / "home/alice/pages/in");
  dir_.write("home/alice/pages/.hidden", "x");
  EXPECT_EQ(get("/~alice/out", "/~alice").status, 51);
  EXPECT_EQ(get("/~alice/.hidden", "/~alice").status, 51);
  EXPECT_EQ(get("/~alice/in", "/~alice").body, "# Alice\n");
}

TEST_F(HomesSiteTest, AFolderThatTookTheOthersPlaceIsFoundSoon) {
  EXPECT_EQ(statusOf("/~alice"), 20);
  fs::rename(dir_ / "home/alice/pages", dir_ / "home/alice/old");
  dir_.write("home/alice/pages/index.gmi", "# New\n");
  fs::remove_all(dir_ / "home/alice/old");
  EXPECT_EQ(get("/~alice/", "/~alice").body, "# New\n");
}

TEST_F(HomesSiteTest, ManyUsersAreServed) {
  for (int i = 0; i < 100; ++i) {
    const std::string name = "u" + std::to_string(i);
    dir_.write("home/" + name + "/pages/index.gmi", name);
  }
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 100; ++i) {
      const std::string name = "u" + std::to_string(i);
      EXPECT_EQ(get("/~" + name + "/", "/~" + name).body, name);
    }
  }
}

TEST_F(HomesSiteTest, OnlyScriptsTakeBlocksAndEncodedSlashes) {
  args_.cgi = "cgi-bin";
  args_.program.sensitive = true;
  for (const char* path : {"/cgi-bin", "/cgi-bin/", "/cgi-bin/x"}) {
    EXPECT_EQ(site().takes(path), AcceptedBody::kBlocks) << path;
    EXPECT_TRUE(site().takesEncodedSlash(path)) << path;
    EXPECT_TRUE(site().keepsTime(path)) << path;
    EXPECT_TRUE(site().hidesQuery(path)) << path;
  }
  for (const char* path : {"", "/", "/cgi-bins", "/x/cgi-bin/y"}) {
    EXPECT_EQ(site().takes(path), AcceptedBody::kNothing) << path;
    EXPECT_FALSE(site().takesEncodedSlash(path)) << path;
    EXPECT_FALSE(site().keepsTime(path)) << path;
    EXPECT_FALSE(site().hidesQuery(path)) << path;
  }
}

TEST_F(HomesSiteTest, ApplicationsAnswerBelowAppAlone) {
  applications_ = std::make_unique<ApplicationSite>(ScgiArgs(), 0, milliseconds(1'000));
  for (const char* path : {"/app", "/app/", "/app/x"}) {
    EXPECT_EQ(site().takes(path), AcceptedBody::kBlocks) << path;
    EXPECT_TRUE(site().takesEncodedSlash(path)) << path;
    EXPECT_TRUE(site().keepsTime(path)) << path;
  }
  for (const char* path : {"", "/", "/apps", "/x/app"}) {
    EXPECT_EQ(site().takes(path), AcceptedBody::kNothing) << path;
  }
  EXPECT_EQ(get("/~alice/", "/~alice").body, "# Alice\n");
}

TEST_F(HomesSiteTest, WithoutASocketAppIsAFolderLikeOthers) {
  dir_.write("home/alice/pages/app/index.gmi", "# App\n");
  EXPECT_EQ(get("/~alice/app/", "/~alice").body, "# App\n");
}

TEST_F(HomesSiteTest, SourcesOfScriptsAreNotServed) {
  args_.cgi = "cgi-bin";
  dir_.write("home/alice/pages/cgi-bin/it", "#!/bin/sh\n");
  EXPECT_EQ(get("/~alice/cgi-bin/it", "/~alice").status, 51);
}

}  // namespace
}  // namespace egalaxyd
