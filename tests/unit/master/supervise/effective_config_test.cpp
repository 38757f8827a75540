#include "master/supervise/effective_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/wire/machine_name.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::Contains;
using testing::HasSubstr;

class EffectiveConfigTest : public testing::Test {
 protected:
  void SetUp() override { line.workingDir = folder.path(); }

  Config config() {
    const LoadedConfig loaded = effectiveConfig(line, {.home = folder.path().string()});
    for (const Complaint& each : loaded.complaints) ADD_FAILURE() << each.where << each.text;
    return loaded.config;
  }
  const DirectoryArgs& directory() {
    built = config();
    return std::get<DirectoryArgs>(built.sites.at(0).mounts.at(0).args);
  }

  TempDir folder;
  CommandLine line;
  Config built;
};

TEST_F(EffectiveConfigTest, AnswersEveryNameWithoutAFile) {
  const SiteConfig site = config().sites.at(0);
  // The certificate of earlier starts, which clients remember, is kept under this name.
  EXPECT_EQ(site.host, "localhost");
  EXPECT_THAT(site.aliases, Contains("*"));
  if (machineName() != "localhost") {
    EXPECT_THAT(site.aliases, Contains(machineName()));
  }
}

TEST_F(EffectiveConfigTest, AnswersTheNamesThatWereAskedForAlone) {
  line.hosts = {"a.test", "b.test", "a.test"};
  const SiteConfig site = config().sites.at(0);
  EXPECT_EQ(site.host, "a.test");
  EXPECT_THAT(site.aliases, testing::ElementsAre("b.test"));
}

TEST_F(EffectiveConfigTest, ListsFoldersUnlessToldNotTo) {
  EXPECT_TRUE(directory().listing);
  line.listing = false;
  EXPECT_FALSE(directory().listing);
  line.listing = true;
  EXPECT_TRUE(directory().listing);
}

TEST_F(EffectiveConfigTest, RunsScriptsOfTheFolderThatIsNamedAlone) {
  EXPECT_EQ(config().sites.at(0).mounts.size(), 1U);
  line.cgi = "bin/cgi/";
  built = config();
  const auto& mounts = built.sites.at(0).mounts;
  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_EQ(mounts[0].path, "/");
  EXPECT_EQ(mounts[1].path, "/bin/cgi");
  CgiArgs expected;
  expected.root = folder.path() / "bin/cgi/";
  EXPECT_EQ(std::get<CgiArgs>(mounts[1].args), expected);
}

TEST_F(EffectiveConfigTest, KnowsWhetherSpartanWasAskedFor) {
  EXPECT_FALSE(wantsSpartan(config()));
  line.spartan = {{"", 3000}};
  EXPECT_TRUE(wantsSpartan(config()));
  line.spartan.reset();
  line.configFile = folder.write("egalaxyd.toml", "[sites.a]\nroot = \".\"\n");
  EXPECT_FALSE(wantsSpartan(config()));
  folder.write("egalaxyd.toml", "listen.spartan = [\":3000\"]\n[sites.a]\nroot = \".\"\n");
  EXPECT_TRUE(wantsSpartan(config()));
}

TEST_F(EffectiveConfigTest, NotesWhichCertificateWasFound) {
  const auto about = [&] {
    for (const std::string& note : startNotes(line)) {
      if (note.find("server.") != std::string::npos) return note;
    }
    return std::string();
  };
  EXPECT_EQ(about(), "");
  folder.write("server.key", "");
  EXPECT_THAT(about(), HasSubstr("server.key is not used: there is no server.crt"));
  folder.write("server.crt", "");
  EXPECT_THAT(about(), HasSubstr("the certificate is " + (folder / "server.crt").string()));
  std::filesystem::remove(folder / "server.key");
  EXPECT_THAT(about(), HasSubstr("server.crt is not used: there is no server.key"));
  line.configFile = folder / "egalaxyd.toml";
  EXPECT_EQ(about(), "");
}

}  // namespace
}  // namespace egalaxyd
