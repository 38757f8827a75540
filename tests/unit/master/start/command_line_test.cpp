#include "master/start/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/configuration_files.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

class CommandLineTest : public testing::Test {
 protected:
  void SetUp() override { line.workingDir = folder.path(); }

  std::string refusal(const std::string& option, const std::string& value) {
    const auto applied = applyOption(line, option, value);
    return applied ? "" : applied.error().message;
  }
  /// The file that is in force; the refusal, if there is one.
  std::string chosen() {
    const auto done = chooseConfiguration(line);
    return done ? line.configFile.string() : done.error().message;
  }

  TempDir folder;
  CommandLine line;
};

TEST_F(CommandLineTest, ReadsTheFileOfTheWorkingFolder) {
  EXPECT_EQ(chosen(), "");
  folder.write("egalaxyd.toml", "");
  EXPECT_EQ(chosen(), folder / "egalaxyd.toml");
}

TEST_F(CommandLineTest, ReadsTheFileOfTheFolderThatIsNamed) {
  folder.write("egalaxyd.toml", "");
  folder.makeDir("sub");
  line.directory = folder / "sub";
  EXPECT_EQ(chosen(), "");
  folder.write("sub/egalaxyd.toml", "");
  EXPECT_EQ(chosen(), folder / "sub/egalaxyd.toml");
}

TEST_F(CommandLineTest, TakesALinkThatLeadsNowhereForAFile) {
  std::filesystem::create_symlink("gone", folder / "egalaxyd.toml");
  EXPECT_EQ(chosen(), folder / "egalaxyd.toml");
}

TEST_F(CommandLineTest, ReadsTheSystemsFileWhenToldAlone) {
  ASSERT_EQ(refusal("system", ""), "");
  folder.write("egalaxyd.toml", "");
  EXPECT_EQ(chosen(), kSystemConfiguration);
}

TEST_F(CommandLineTest, RefusesTwoConfigurationsAtOnce) {
  line.system = true;
  line.directory = folder.path();
  EXPECT_THAT(chosen(), HasSubstr("--system and a folder to serve exclude each other"));
  line.directory.reset();
  line.configFile = folder / "a.toml";
  EXPECT_THAT(chosen(), HasSubstr("--config and --system exclude each other"));
  line.system = false;
  line.directory = folder.path();
  EXPECT_THAT(chosen(), HasSubstr("--config and a folder to serve exclude each other"));
}

TEST_F(CommandLineTest, TakesAFolderOfScriptsBelowTheOneThatIsServed) {
  for (const char* name : {"cgi-bin", "a/b", "cgi-bin/"}) {
    EXPECT_EQ(refusal("cgi", name), "");
    EXPECT_EQ(line.cgi, name);
  }
  for (const char* name : {"", "/", "/cgi-bin", ".", "..", "../x", "a/../../x", "a//b"}) {
    EXPECT_EQ(refusal("cgi", name),
              "--cgi " + std::string(name) +
                  ": use a folder below the one that is served, named from there, such as cgi-bin");
  }
}

TEST_F(CommandLineTest, RefusesWhatOnlyAFolderHasBesideAFile) {
  folder.write("egalaxyd.toml", "");
  CommandLine scripts = line;
  ASSERT_TRUE(applyOption(scripts, "cgi", "cgi-bin").ok());
  EXPECT_FALSE(chooseConfiguration(scripts).ok());
  for (const char* option : {"listing", "no-listing"}) {
    CommandLine own = line;
    ASSERT_TRUE(applyOption(own, option, "").ok());
    EXPECT_FALSE(chooseConfiguration(own).ok()) << option;
  }
  ASSERT_EQ(refusal("host", "example.org"), "");
  EXPECT_THAT(chosen(), HasSubstr((folder / "egalaxyd.toml").string()));
}

TEST_F(CommandLineTest, TakesHostsAsASiteHasThem) {
  for (const char* host : {"Example.org", "*.example.org", "192.168.1.2", "[::1]"}) {
    EXPECT_EQ(refusal("host", host), "") << host;
  }
  EXPECT_THAT(line.hosts,
              testing::ElementsAre("example.org", "*.example.org", "192.168.1.2", "::1"));
  for (const char* host : {"example.org:1965", "gemini://example.org", "example.org/", "[::1]:1965",
                           "", "two words"}) {
    EXPECT_THAT(refusal("host", host), HasSubstr("without scheme and port")) << host;
  }
}

TEST_F(CommandLineTest, TakesAPortForEveryAddress) {
  EXPECT_EQ(refusal("port", "1966"), "");
  EXPECT_EQ(refusal("port", "0"), "");
  EXPECT_THAT(*line.gemini, testing::ElementsAre(ListenAddress{"", 1966}, ListenAddress{"", 0}));
  for (const char* port : {"", ":1965", "65536", "-1", "gemini"}) {
    EXPECT_THAT(refusal("port", port), HasSubstr("from 0 to 65535")) << port;
  }
}

}  // namespace
}  // namespace egalaxyd
