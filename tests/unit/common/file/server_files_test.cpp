#include "common/file/server_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "common/file/private_files.h"
#include "common/file/site_root.h"
#include "tests/support/temp_dir.h"
#include "worker/file/directory_page.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// A server that keeps all it has in the folder that it serves.
class ServerFilesTest : public testing::Test {
 protected:
  ServerFilesTest() {
    config_.file = dir_.write("egalaxyd.toml", "tokens");
    config_.server.stateDir = dir_ / "state";
    config_.server.runtimeDir = dir_ / "run";
    config_.log.target = dir_ / "egalaxyd.log";
    config_.tls.certificate = dir_.write("site.crt", "public");
    dir_.write("state/db/egalaxyd.db", "users");
    dir_.write("state/certificates/a.crt", "public");
    dir_.write("state/notes/page.gmi", "a capsule");
    dir_.write("run/file", "x");
    dir_.write("index.gmi", "# Page\n");
  }

  ServerFiles files() const { return ServerFiles(config_); }
  bool covers(const std::string& name, FileUse use = FileUse::kServe) const {
    return ServerFiles(config_).cover((dir_ / name).string(), dir_.path().string(), use);
  }
  SiteRoot root(const fs::path& path, SymlinkPolicy links = SymlinkPolicy::kInside) const {
    return SiteRoot::openAt(path, links,
                            std::make_shared<const PrivateFiles>(PrivateFiles::of(config_)))
        .value();
  }
  static std::string fetch(const SiteRoot& root, std::string_view name) {
    const auto opened = root.open(name, Waiting::kAllowed);
    if (!opened) return opened.error().code == ErrorCode::kPermission ? "refused" : "away";
    return opened->isFolder() ? "folder" : opened->head;
  }

  const TempDir dir_;
  Config config_;
};

TEST_F(ServerFilesTest, AreThoseThatTheConfigurationNamesAndWhatStandsBesideThem) {
  for (const char* own :
       {"egalaxyd.toml", "egalaxyd.toml~", ".egalaxyd.toml.swp", "#egalaxyd.toml#",
        "egalaxyd.toml.dpkg-old", "egalaxyd.log", "egalaxyd.log.1", "egalaxyd.log.2.gz",
        "egalaxyd-20260101.log", "egalaxyd-20260101.log.gz", "state", "state/egalaxyd.lock",
        "state/db/egalaxyd.db-wal", "state/later/any", "run", "run/control.sock"}) {
    EXPECT_TRUE(covers(own)) << own;
    EXPECT_TRUE(covers(own, FileUse::kChange)) << own;
  }
  for (const char* page : {"index.gmi", "egalaxyd", "egalaxyd.tomlike", "egalaxyd-notes.gmi",
                           "stately", "state.gmi", "runs/a", "sub/egalaxyd.toml", "sub/state"}) {
    EXPECT_FALSE(covers(page, FileUse::kChange)) << page;
  }
}

TEST_F(ServerFilesTest, AreAllLogsAndWhatRotationsLeave) {
  SiteConfig site;
  site.log = dir_ / "site.log";
  config_.sites.push_back(site);
  config_.log.accessTarget = dir_ / "access.log";
  for (const char* own : {"egalaxyd.log", "access.log", "access.log.1", "access-20260101.log.gz",
                          "site.log", "site.log.2.gz"}) {
    EXPECT_TRUE(covers(own)) << own;
    EXPECT_TRUE(covers(own, FileUse::kChange)) << own;
  }
}

TEST_F(ServerFilesTest, AreWhatTheConfigurationIncludesOrWouldInclude) {
  dir_.write("sites.d/here.toml", "tokens");
  fs::create_hard_link(dir_ / "sites.d/here.toml", dir_ / "second");
  config_.included = {dir_ / "sites.d/here.toml"};
  config_.includePatterns = {{dir_ / "sites.d", "*.toml"}, {dir_.path(), "*/own.toml"}};
  for (const char* own : {"sites.d/here.toml", "sites.d/later.toml", "sites.d/later.toml~",
                          "sites.d/.later.toml.swp", "a/own.toml", "a/own.toml.bak"}) {
    EXPECT_TRUE(covers(own)) << own;
    EXPECT_TRUE(covers(own, FileUse::kChange)) << own;
  }
  for (const char* other :
       {"sites.d/page.gmi", "sites.d/sub/a.toml", "page.toml", "a/b/own.toml"}) {
    EXPECT_FALSE(covers(other)) << other;
  }
  EXPECT_EQ(fetch(root(dir_.path()), "second"), "refused");
}

TEST_F(ServerFilesTest, APatternReachesIntoTheFoldersThatItNames) {
  Config config;
  config.includePatterns = {{dir_ / "etc", "*.toml"}};
  EXPECT_FALSE(ServerFiles(config).lieAt((dir_ / "etc/capsule").string()));
  EXPECT_FALSE(ServerFiles(config).lieAt((dir_ / "capsule").string()));
  EXPECT_TRUE(ServerFiles(config).lieAt((dir_ / "etc").string()));
  EXPECT_TRUE(ServerFiles(config).lieAt(dir_.path().string()));
  config.includePatterns = {{dir_ / "etc", "*/own.toml"}};
  EXPECT_TRUE(ServerFiles(config).lieAt((dir_ / "etc/capsule").string()));
}

TEST_F(ServerFilesTest, AFileThatNoConfigurationNamesIsAdded) {
  EXPECT_FALSE(covers("egalaxyd.pid"));
  ServerFiles::add("the pid file", dir_ / "egalaxyd.pid");
  EXPECT_TRUE(covers("egalaxyd.pid", FileUse::kChange));
}

TEST_F(ServerFilesTest, WhatIsPublicIsServedButNotChanged) {
  EXPECT_FALSE(covers("site.crt"));
  EXPECT_TRUE(covers("site.crt", FileUse::kChange));
}

TEST_F(ServerFilesTest, WhatAProxyShowsToACapsuleIsKnownAndItsKeyNotServed) {
  ProxyArgs proxy;
  proxy.certificate = dir_.write("proxy.crt", "public");
  proxy.key = dir_.write("proxy.secret", "a key of no known form");
  AuthenticatedArgs members;
  members.sites.push_back({"/old", "", proxy});
  SiteConfig site;
  site.mounts.push_back({"/", "", members});
  config_.sites.push_back(site);
  EXPECT_TRUE(covers("proxy.crt", FileUse::kChange));
  EXPECT_EQ(fetch(root(dir_.path()), "proxy.crt"), "public");
  EXPECT_EQ(fetch(root(dir_.path()), "proxy.secret"), "refused");
}

TEST_F(ServerFilesTest, ARootWithinTheStateFolderIsServedButNotTheDatabase) {
  EXPECT_EQ(fetch(root(dir_ / "state/notes"), "page.gmi"), "a capsule");
  EXPECT_EQ(fetch(root(dir_ / "state/db"), "egalaxyd.db"), "refused");
  EXPECT_EQ(fetch(root(dir_ / "state/certificates"), "a.crt"), "refused");
  EXPECT_EQ(fetch(root(dir_ / "state"), "notes/page.gmi"), "refused");
  const SiteRoot notes = root(dir_ / "state/notes", SymlinkPolicy::kFollow);
  fs::create_symlink("../db/egalaxyd.db", dir_ / "state/notes/link");
  EXPECT_EQ(fetch(notes, "link"), "refused");
}

TEST_F(ServerFilesTest, LieAtARootThatHoldsOneOrThatTheyHold) {
  EXPECT_TRUE(files().lieAt(dir_.path().string()));
  EXPECT_TRUE(files().lieAt((dir_ / "state/notes").string()));
  EXPECT_TRUE(files().lieAt("/"));
  EXPECT_FALSE(files().lieAt(dir_.makeDir("site").string()));
  EXPECT_FALSE(files().lieAt((dir_ / "stately").string()));
}

TEST_F(ServerFilesTest, AreRefusedUnderAnyName) {
  fs::create_symlink("egalaxyd.toml", dir_ / "link");
  fs::create_symlink("state", dir_ / "folder");
  ASSERT_EQ(::link((dir_ / "egalaxyd.toml").c_str(), (dir_ / "hard").c_str()), 0);
  ASSERT_EQ(::link((dir_ / "state/db/egalaxyd.db").c_str(), (dir_ / "copy.gmi").c_str()), 0);
  for (const auto links : {SymlinkPolicy::kInside, SymlinkPolicy::kFollow}) {
    const SiteRoot whole = root(dir_.path(), links);
    for (const char* name :
         {"egalaxyd.toml", "link", "hard", "copy.gmi", "folder", "folder/db/egalaxyd.db",
          "state/db/egalaxyd.db", "state", "run/file"}) {
      EXPECT_EQ(fetch(whole, name), "refused") << name;
    }
    EXPECT_EQ(fetch(whole, "index.gmi"), "# Page\n");
    EXPECT_EQ(fetch(whole, "site.crt"), "public");
  }
  const auto keys = PrivateFiles::of(config_);
  for (const char* name : {"link", "hard", "egalaxyd.toml"}) {
    EXPECT_FALSE(openFile(dir_ / name, Waiting::kAllowed, &keys).ok()) << name;
  }
  EXPECT_TRUE(openFile(dir_ / "state/notes/page.gmi", Waiting::kAllowed, &keys).ok());
}

TEST_F(ServerFilesTest, AreRefusedWhereTheRootIsNamedThroughALink) {
  const TempDir other;
  fs::create_directory_symlink(dir_.path(), other / "capsule");
  EXPECT_EQ(fetch(root(other / "capsule"), "egalaxyd.toml"), "refused");
  config_.file = other / "capsule/egalaxyd.toml";
  EXPECT_EQ(fetch(root(dir_.path()), "egalaxyd.toml"), "refused");
}

TEST_F(ServerFilesTest, AFileThatReplacesOneIsKnownAfterALook) {
  const auto keys = std::make_shared<const PrivateFiles>(PrivateFiles::of(config_));
  const SiteRoot whole = SiteRoot::openAt(dir_.path(), SymlinkPolicy::kInside, keys).value();
  dir_.write("new", "other tokens");
  ASSERT_EQ(::link((dir_ / "new").c_str(), (dir_ / "hard").c_str()), 0);
  fs::rename(dir_ / "new", dir_ / "egalaxyd.toml");
  EXPECT_EQ(fetch(whole, "egalaxyd.toml"), "refused");
  keys->refresh();
  EXPECT_EQ(fetch(whole, "hard"), "refused");
}

TEST_F(ServerFilesTest, AreNotListed) {
  fs::create_symlink("egalaxyd.toml", dir_ / "link");
  dir_.write("HEADER.gmi", "# Mine\n");
  const auto page = directoryPage(root(dir_.path()), {.folder = "", .title = "/"});
  ASSERT_TRUE(page.ok());
  EXPECT_NE(page->find("index.gmi"), std::string::npos);
  for (const char* own : {"egalaxyd", "state", "run", "link"}) {
    EXPECT_EQ(page->find(own), std::string::npos) << *page;
  }
}

}  // namespace
}  // namespace egalaxyd
