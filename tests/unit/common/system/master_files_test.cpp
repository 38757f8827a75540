#include "common/system/master_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::Not;

TEST(MasterFiles, AreAllThatAConfigurationNamesForTheMaster) {
  Config config;
  config.file = "/etc/e.toml";
  config.server.stateDir = "/state";
  config.tls.key = "/tls.key";
  config.log.target = "/log";
  config.log.accessTarget = "/access.log";
  config.router.module = "/router.so";
  config.included = {"/etc/sites.d/a.toml"};
  config.includePatterns = {{"/etc/sites.d", "*.toml"}};
  SiteConfig site;
  site.certificate = "/site.crt";
  AuthenticatedArgs members;
  members.ca = "/ca.pem";
  members.sites.push_back({"/", "", PluginArgs{"/plugin.so", "", {}}});
  ProxyArgs proxy;
  proxy.ca = "/proxy-ca.pem";
  proxy.certificate = "/proxy.crt";
  proxy.key = "/proxy.key";
  members.sites.push_back({"/old", "", proxy});
  site.mounts.push_back({"/", "", members});
  config.sites.push_back(site);
  const auto files = masterFiles(config);
  for (const char* file : {"/etc/e.toml", "/state", "/tls.key", "/log", "/router.so", "/site.crt",
                           "/ca.pem", "/plugin.so", "/etc/sites.d/a.toml", "/etc/sites.d/*.toml",
                           "/proxy-ca.pem", "/proxy.crt", "/proxy.key"}) {
    EXPECT_THAT(files, Contains(fs::path(file)));
  }
  EXPECT_THAT(files, Not(Contains(fs::path())));
  config.log.target = "stderr";
  EXPECT_EQ(masterFiles(config).size(), files.size() - 1);
}

/// An account that is the test's own, or one that only has the rights of others.
class Reach : public testing::Test {
 protected:
  Reach() {
    dir_.write("a/b/file", "");
    for (const char* folder : {"", "a", "a/b"}) fs::permissions(dir_ / folder, fs::perms(0755));
  }
  std::optional<fs::path> stranger(const fs::path& path) const {
    return placeInReach({"stranger", 4711, 4711}, path);
  }

  const TempDir dir_;
};

TEST_F(Reach, IsTheHighestPlaceThatTheAccountCanChange) {
  const Account self{"self", ::geteuid(), ::getegid()};
  const auto own = placeInReach(self, dir_ / "a/b/file");
  ASSERT_TRUE(own);
  EXPECT_TRUE((dir_ / "a/b/file").string().starts_with(own->string()));
  EXPECT_EQ(stranger(dir_ / "a/b/file"), std::nullopt);
  fs::permissions(dir_ / "a/b/file", fs::perms(0666));
  EXPECT_EQ(stranger(dir_ / "a/b/file"), dir_ / "a/b/file");
  fs::permissions(dir_ / "a", fs::perms(0777));
  EXPECT_EQ(stranger(dir_ / "a/b/file"), dir_ / "a");
  EXPECT_EQ(stranger(dir_ / "a"), std::nullopt) << "the folder itself is not asked about";
  fs::permissions(dir_ / "a", fs::perms(01777));
  EXPECT_EQ(stranger(dir_ / "a/b"), std::nullopt) << "names of others stay in a sticky folder";
}

TEST_F(Reach, GoesThroughLinks) {
  dir_.makeDir("c");
  fs::create_directory_symlink("../a", dir_ / "c/link");
  EXPECT_EQ(stranger(dir_ / "c/link/b/file"), std::nullopt);
  fs::permissions(dir_ / "a/b", fs::perms(0777));
  const auto place = stranger(dir_ / "c/link/b/file");
  ASSERT_TRUE(place);
  EXPECT_TRUE(fs::equivalent(*place, dir_ / "a/b"));
  fs::create_directory_symlink("loop", dir_ / "loop");
  EXPECT_EQ(stranger(dir_ / "loop/file"), std::nullopt);
  EXPECT_EQ(stranger(dir_ / "nowhere/file"), std::nullopt);
}

}  // namespace
}  // namespace egalaxyd
