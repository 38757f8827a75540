#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/config/config_check.h"
#include "common/config/config_dump.h"
#include "common/config/config_loader.h"
#include "common/config/include_files.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A configuration that is spread over files.
class Include : public testing::Test {
 protected:
  void main(const std::string& text) { dir_.write("e.toml", text); }
  LoadedConfig load() const { return loadConfig(dir_ / "e.toml"); }
  Config good() const {
    LoadedConfig loaded = load();
    addComplaints(loaded.complaints, checkConfig(loaded.config));
    for (const Complaint& complaint : loaded.complaints) {
      ADD_FAILURE() << complaint.where << ": " << complaint.text;
    }
    return std::move(loaded.config);
  }
  /// "FILE:LINE: KEY: TEXT", without the folder.
  std::vector<std::string> told() const {
    LoadedConfig loaded = load();
    addComplaints(loaded.complaints, checkConfig(loaded.config));
    std::vector<std::string> all;
    for (const Complaint& complaint : loaded.complaints) {
      std::string whole = complaint.where + ": " + complaint.text;
      const std::string folder = dir_.path().string() + "/";
      for (std::size_t at; (at = whole.find(folder)) != std::string::npos;) {
        whole.erase(at, folder.size());
      }
      all.push_back(std::move(whole));
    }
    return all;
  }
  static std::string site(const std::string& host, const std::string& root = "capsule") {
    return "[sites.\"" + host + "\"]\nroot = \"" + root + "\"\n";
  }
  static std::vector<std::string> hosts(const Config& config) {
    std::vector<std::string> all;
    for (const SiteConfig& site : config.sites) all.push_back(site.host);
    return all;
  }
  static fs::path rootOf(const Config& config, std::size_t i) {
    return std::get<DirectoryArgs>(config.sites.at(i).mounts.at(0).args).root;
  }

  const TempDir dir_;
};

TEST_F(Include, ReadsTheFilesOfAPatternInOrderEachWithItsOwnRelativePaths) {
  main("include = [\"sites.d/*.toml\"]\n" + site("main.org"));
  dir_.write("sites.d/b.toml", site("b.org"));
  dir_.write("sites.d/a.toml", "[log]\ntarget = \"a.log\"\n" + site("a.org", "../a"));
  for (const char* other :
       {"sites.d/a.toml~", "sites.d/.a.toml", "sites.d/c.tml", "sites.d/README"}) {
    dir_.write(other, "no TOML");
  }
  const Config config = good();
  EXPECT_THAT(hosts(config), ElementsAre("main.org", "a.org", "b.org"));
  EXPECT_EQ(rootOf(config, 0), dir_ / "capsule");
  EXPECT_EQ(rootOf(config, 1), dir_ / "a");
  EXPECT_EQ(rootOf(config, 2), dir_ / "sites.d/capsule");
  EXPECT_EQ(config.log.target, (dir_ / "sites.d/a.log").string());
  EXPECT_THAT(config.included, ElementsAre(dir_ / "sites.d/a.toml", dir_ / "sites.d/b.toml"));
  EXPECT_EQ(config.where("log.target"), (dir_ / "sites.d/a.toml").string() + ":2: log.target");
}

TEST_F(Include, IsDumpedAsOneWholeThatLoadsAgain) {
  main("include = [\"*.d/*.toml\"]\n" + site("main.org"));
  dir_.write("sites.d/a.toml", "[limits]\nconnections = 77\n" + site("a.org"));
  const Config config = good();
  const std::string dump = dumpConfig(config);
  EXPECT_EQ(dump.find("include"), std::string::npos);
  const LoadedConfig again = parseConfig(dump, "/elsewhere/e.toml");
  EXPECT_THAT(again.complaints, IsEmpty());
  EXPECT_EQ(again.config.limits, config.limits);
  EXPECT_EQ(dumpConfig(again.config), dump);
  EXPECT_EQ(rootOf(again.config, 1), dir_ / "sites.d/capsule");
}

TEST_F(Include, ASiteMayBeSpreadOverFiles) {
  main(
      "include = [\"a.toml\"]\n[sites.\"h.org\"]\nlang = \"de\"\n[sites.\"h.org\".\"/\"]\n"
      "module = \"directory\"\nroot = \"r\"\n");
  dir_.write("a.toml",
             "[sites.\"h.org\".\"/\"]\nlisting = true\n[sites.\"h.org\".\"/x\"]\n"
             "module = \"reply\"\nstatus = 51\n");
  const Config config = good();
  ASSERT_EQ(config.sites.size(), 1U);
  ASSERT_EQ(config.sites[0].mounts.size(), 2U);
  const auto& directory = std::get<DirectoryArgs>(config.sites[0].mounts[0].args);
  EXPECT_TRUE(directory.listing.has_value());
  EXPECT_EQ(directory.lang, "de");
}

TEST_F(Include, AKeyThatIsSetTwiceNamesBothPlaces) {
  main("include = [\"*.d/*\"]\n[log]\nlevel = \"info\"\n" + site("h.org"));
  dir_.write("x.d/a.toml", "\n[log]\nlevel = \"warn\"\n");
  dir_.write("x.d/b.toml", site("h.org", "other"));
  EXPECT_THAT(told(),
              ElementsAre("x.d/a.toml:3: log.level: is set twice; it stands in e.toml:3 too",
                          "x.d/b.toml:2: sites.\"h.org\".root: is set twice; it stands in "
                          "e.toml:5 too"));
  dir_.write("x.d/a.toml", "");
  dir_.write("x.d/b.toml", site("H.ORG", "other"));
  EXPECT_THAT(told(), ElementsAre("x.d/b.toml:1: sites.\"H.ORG\": the host \"h.org\" is taken "
                                  "already by e.toml:4: sites.\"h.org\""));
}

TEST_F(Include, EachFaultNamesItsFile) {
  main("include = [\"*.d/*\"]\n[server]\nworkers = 0\n");
  dir_.write("x.d/a.toml", "[sites.\"a.org\"]\nrot = \"x\"\n[limits]\nconnections = 0\n");
  dir_.write("x.d/b.toml", "# syntax\n[sites.b.org]\nroot = /x\n[log\n");
  dir_.write("x.d/c.toml", "[sites.\"c.org\"]\nroot = \"c\"\nlevel = 3\n[what]\n");
  const auto all = told();
  EXPECT_THAT(all, testing::Contains(HasSubstr("e.toml:3: server.workers: ")));
  EXPECT_THAT(all, testing::Contains("x.d/a.toml:2: sites.\"a.org\".rot: unknown key; did you mean "
                                     "\"root\"?"));
  EXPECT_THAT(all, testing::Contains(HasSubstr("x.d/a.toml:4: limits.connections: found 0")));
  EXPECT_THAT(all, testing::Contains(HasSubstr("x.d/b.toml:3: ")));
  EXPECT_THAT(all, testing::Contains(HasSubstr("x.d/b.toml:4: ")));
  EXPECT_THAT(all, testing::Contains(HasSubstr("x.d/c.toml:4: what: unknown key")));
}

TEST_F(Include, AFileThatIsNamedMustBeThereAPatternMayMatchNothing) {
  main("include = [\"none.d/*.toml\", \"*.none\"]\n" + site("h.org"));
  EXPECT_EQ(good().sites.size(), 1U);
  main("include = [\"none.toml\"]\n");
  EXPECT_THAT(told(), ElementsAre("e.toml:1: include: none.toml: cannot be read: No such file or "
                                  "directory"));
}

TEST_F(Include, WhatIsNoFileOrNotReadableIsToldWithItsName) {
  main("include = [\"x.d/*\"]\n" + site("h.org"));
  fs::create_directories(dir_ / "x.d/folder.toml");
  fs::create_symlink("nowhere", dir_ / "x.d/link.toml");
  ASSERT_EQ(::mkfifo((dir_ / "x.d/pipe.toml").c_str(), 0600), 0);
  dir_.write("x.d/text.toml", "Hello, this is a text.\n");
  const auto all = told();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0], "e.toml:1: include: x.d/folder.toml: is a folder, not a regular file");
  EXPECT_EQ(all[1], "e.toml:1: include: x.d/link.toml: cannot be read: No such file or directory");
  EXPECT_EQ(all[2], "e.toml:1: include: x.d/pipe.toml: is a FIFO, not a regular file");
  EXPECT_THAT(all[3], testing::StartsWith("x.d/text.toml:1: "));
  if (::geteuid() == 0) return;
  main("include = [\"shut.d/*\"]\n" + site("h.org"));
  fs::create_directories(dir_ / "shut.d");
  fs::permissions(dir_ / "shut.d", fs::perms::none);
  EXPECT_THAT(told(),
              ElementsAre("e.toml:1: include: shut.d/*: cannot be listed: Permission denied"));
}

TEST_F(Include, NoIncludedFileIncludesOthers) {
  main("include = [\"a.toml\"]\n" + site("h.org"));
  dir_.write("a.toml", "# A circle\ninclude = [\"e.toml\"]\n");
  EXPECT_THAT(told(),
              ElementsAre("a.toml:2: include: an included file includes no others; write it "
                          "into e.toml"));
}

TEST_F(Include, AFileIsReadOnceAndNeverByItself) {
  dir_.write("a.toml", site("a.org"));
  fs::create_hard_link(dir_ / "a.toml", dir_ / "b.toml");
  main("include = [\"*.toml\", \"a.toml\", \"./a.toml\"]\n");
  EXPECT_THAT(hosts(good()), ElementsAre("a.org"));
  main("include = [\"e.toml\"]\n" + site("h.org"));
  EXPECT_THAT(told(), ElementsAre("e.toml:1: include: e.toml: includes itself; leave it out"));
}

TEST_F(Include, StandsAtTheTop) {
  main("[server]\ninclude = [\"*.x\"]\n" + site("h.org"));
  EXPECT_THAT(told(),
              ElementsAre("e.toml:2: server.include: belongs to the top of e.toml, above the "
                          "first table"));
  main("include = \"*.x\"\n" + site("h.org"));
  EXPECT_THAT(told(), ElementsAre(HasSubstr("write [\"*.x\"]")));
  main("include = [\"\", \"x/\"]\n" + site("h.org"));
  EXPECT_EQ(told().size(), 2U);
}

TEST_F(Include, HasABound) {
  for (std::size_t i = 0; i <= kMostIncluded; ++i) dir_.write("x.d/" + std::to_string(i), "");
  main("include = [\"x.d/*\"]\n" + site("h.org"));
  EXPECT_THAT(told(), ElementsAre(HasSubstr("more files than the 1000 that may be included")));
}

TEST_F(Include, TheFolderOfTheConfigurationIsNoPattern) {
  const auto file = dir_.write("[a]*/e.toml", "include = [\"x.d/*.toml\"]\n");
  dir_.write("[a]*/x.d/s.toml", site("s.org"));
  const LoadedConfig loaded = loadConfig(file);
  EXPECT_THAT(loaded.complaints, IsEmpty());
  EXPECT_THAT(hosts(loaded.config), ElementsAre("s.org"));
}

TEST(IncludePattern, IsSplitWhereItsWildcardsBegin) {
  const auto split = [](const char* folder, const char* pattern) {
    const IncludePattern parts = splitPattern(folder, pattern);
    return parts.folder.string() + "|" + parts.names;
  };
  EXPECT_EQ(split("/etc/e", "sites.d/*.toml"), "/etc/e/sites.d|*.toml");
  EXPECT_EQ(split("/etc/e", "/srv/*/x/e.toml"), "/srv|*/x/e.toml");
  EXPECT_EQ(split("/etc/e", "../a/b.toml"), "/etc/a|b.toml");
  EXPECT_EQ(split("", "sites.d/./*.toml"), "sites.d|*.toml");
  EXPECT_EQ(split("", "a.toml"), "|a.toml");
}

TEST(IncludePattern, NamesWhatEditorsLeaveToo) {
  const IncludePattern pattern{"/etc", "*.toml"};
  for (const char* name : {"a.toml", "a.toml~", ".a.toml.swp", "#a.toml#", ".#a.toml", "a.toml.bak",
                           "a.toml.dpkg-old"}) {
    EXPECT_TRUE(namesFileOrVersion(pattern, name)) << name;
  }
  for (const char* name : {"a.gmi", "toml", "a.tomlx", "sub/a.toml", "", "."}) {
    EXPECT_FALSE(namesFileOrVersion(pattern, name)) << name;
  }
  EXPECT_TRUE(namesFileOrVersion({"/srv", "*/e.toml"}, "a/.e.toml.swp"));
}

}  // namespace
}  // namespace egalaxyd
