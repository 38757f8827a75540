#include "worker/dynamic/find_script.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/base/path.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

class FindScript : public testing::Test {
 protected:
  FindScript() {
    args_.root = dir_.makeDir("root");
    script("env");
    script("folder/deep/env");
  }

  void script(const std::string& name, mode_t mode = 0755) {
    const auto file = dir_.write("root/" + name, "#!/bin/sh\n");
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
  }
  /// "script|path info", "folder", or "none".
  std::string found(std::string_view path, std::string_view suffix = "") {
    const auto found = findScript(args_.root, args_, path, suffix, ScriptLook::kWaiting);
    if (!found) return found.error().code == ErrorCode::kNotFound ? "none" : found.error().message;
    return found->isFolder ? "folder" : found->script + "|" + found->pathInfo;
  }

  TempDir dir_;
  CgiArgs args_;
};

TEST_F(FindScript, IsTheShortestPartOfThePathThatIsOne) {
  EXPECT_EQ(found("/env"), "env|");
  EXPECT_EQ(found("/env/"), "env|/");
  EXPECT_EQ(found("/env/folder/deep/env"), "env|/folder/deep/env");
  EXPECT_EQ(found("/folder/deep/env/a/"), "folder/deep/env|/a/");
  EXPECT_EQ(found("/none"), "none");
  EXPECT_EQ(found("/folder/none/env"), "none");
}

TEST_F(FindScript, KnowsAFolderWithoutItsSlash) {
  EXPECT_EQ(found("/folder"), "folder");
  EXPECT_EQ(found("/folder/deep"), "folder");
  EXPECT_EQ(found(""), "folder");
}

TEST_F(FindScript, RunsTheFirstIndexOfAFolder) {
  EXPECT_EQ(found("/folder/"), "none");
  EXPECT_EQ(found("/"), "none");
  script("folder/index.gemini");
  EXPECT_EQ(found("/folder/"), "folder/index.gemini|");
  script("folder/index.gmi", 0644);
  EXPECT_EQ(found("/folder/"), "folder/index.gemini|");
  script("folder/index.cgi");
  EXPECT_EQ(found("/folder/"), "folder/index.cgi|");
  args_.index.clear();
  EXPECT_EQ(found("/folder/"), "none");
}

TEST_F(FindScript, FindsNothingThatNobodyMayExecute) {
  script("plain", 0644);
  EXPECT_EQ(found("/plain"), "it is not executable (chmod +x)");
  EXPECT_EQ(found("/plain/env"), "it is not executable (chmod +x)");
}

TEST_F(FindScript, FindsHiddenOnesOnlyWhereThatIsAllowed) {
  script(".hidden");
  script(".folder/env");
  EXPECT_EQ(found("/.hidden"), "none");
  EXPECT_EQ(found("/.folder/env"), "none");
  EXPECT_EQ(found("/env/.hidden"), "env|/.hidden");
  args_.hidden = true;
  EXPECT_EQ(found("/.hidden"), ".hidden|");
  EXPECT_EQ(found("/.folder/env"), ".folder/env|");
}

TEST_F(FindScript, TakesAnEncodedSlashForNoPartOfAName) {
  const std::string slash(1, kEncodedSlash);
  EXPECT_EQ(found("/folder" + slash + "deep/env"), "none");
  EXPECT_EQ(found("/env/a" + slash + "b"), "env|/a/b");
}

TEST_F(FindScript, FollowsLinksAsItIsTold) {
  const auto outside = dir_.write("outside", "#!/bin/sh\n");
  ASSERT_EQ(::chmod(outside.c_str(), 0755), 0);
  std::filesystem::create_symlink("../outside", args_.root / "out");
  std::filesystem::create_symlink(outside, args_.root / "far");
  std::filesystem::create_symlink("folder/deep/env", args_.root / "relative");
  std::filesystem::create_symlink(args_.root / "env", args_.root / "absolute");
  for (const char* inside : {"relative", "absolute"}) {
    EXPECT_EQ(found(std::string("/") + inside), std::string(inside) + "|");
  }
  for (const char* leaves : {"/out", "/far"}) EXPECT_EQ(found(leaves), "none");
  args_.symlinks = SymlinkPolicy::kDeny;
  for (const char* link : {"/relative", "/absolute", "/out"}) EXPECT_EQ(found(link), "none");
  args_.symlinks = SymlinkPolicy::kFollow;
  for (const char* link : {"/relative", "/absolute", "/out", "/far"}) {
    EXPECT_EQ(found(link), std::string(link).substr(1) + "|");
  }
}

TEST_F(FindScript, WantsTheSuffixWhereThereIsOne) {
  script("env,titan");
  script("alone,titan");
  script("folder/index.gmi,titan");
  EXPECT_EQ(found("/env/a", ",titan"), "env,titan|/a");
  EXPECT_EQ(found("/alone", ",titan"), "alone,titan|");
  EXPECT_EQ(found("/alone"), "none");
  EXPECT_EQ(found("/folder/", ",titan"), "folder/index.gmi,titan|");
  EXPECT_EQ(found("/folder/deep/env", ",titan"), "none");
}

TEST_F(FindScript, LeavesToThePoolWhatMayWait) {
  std::filesystem::create_symlink(args_.root / "env", args_.root / "absolute");
  const auto cached = findScript(args_.root, args_, "/absolute", "", ScriptLook::kCached);
  ASSERT_FALSE(cached);
  EXPECT_EQ(cached.error().code, ErrorCode::kBusy);
}

TEST_F(FindScript, FindsNothingInARootThatIsGone) {
  std::filesystem::remove_all(args_.root);
  EXPECT_EQ(found("/env"), "none");
}

}  // namespace
}  // namespace egalaxyd
