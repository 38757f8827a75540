#include "common/base/glob.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace egalaxyd {
namespace {

TEST(Glob, AStarStaysWithinAName) {
  const struct {
    const char* pattern;
    const char* path;
    bool fits;
  } cases[] = {
      {"a.txt", "a.txt", true},
      {"a.txt", "A.txt", false},
      {"a.txt", "x/a.txt", false},
      {"*.txt", "a.txt", true},
      {"*.txt", ".txt", true},
      {"*.txt", "x/a.txt", false},
      {"*", "a", true},
      {"*", "a/b", false},
      {"a*b*c", "a-b-b-c", true},
      {"a*b*c", "a-b-b-c-", false},
      {"***", "a", true},
      {"x/*", "x/a", true},
      {"x/*", "x", false},
      {"x/*", "x/a/b", false},
      {"", "", true},
      {"", "a", false},
      {"*", "", true},
  };
  for (const auto& c : cases) EXPECT_EQ(fitsGlob(c.pattern, c.path), c.fits) << c.pattern << c.path;
}

TEST(Glob, TwoStarsGoAcrossFolders) {
  const struct {
    const char* pattern;
    const char* path;
    bool fits;
  } cases[] = {
      {"notes/**/*.txt", "notes/a.txt", true},
      {"notes/**/*.txt", "notes/x/a.txt", true},
      {"notes/**/*.txt", "notes/x/y/z/a.txt", true},
      {"notes/**/*.txt", "notes/x/y/a.gmi", false},
      {"notes/**/*.txt", "other/notes/a.txt", false},
      {"**/*.txt", "a.txt", true},
      {"**/*.txt", "x/y/a.txt", true},
      {"**", "a", true},
      {"**", "a/b", true},
      {"x/**", "x/a/b", true},
      {"x/**", "x", false},
      {"**/b/**/d", "a/b/c/b/c/d", true},
      {"**/b/**/d", "a/c/d", false},
      {"a/**/b", "a/b", true},
      {"a/**/**/b", "a/x/b", true},
      {"x**y", "x/y", false},  // no segment of its own: as one star
      {"x**y", "x-y", true},
  };
  for (const auto& c : cases) EXPECT_EQ(fitsGlob(c.pattern, c.path), c.fits) << c.pattern << c.path;
}

TEST(Glob, AQuestionMarkIsACharacterAndAClassOneOfItsOwn) {
  EXPECT_TRUE(fitsGlob("?.txt", "\xC3\xBC.txt"));
  EXPECT_FALSE(fitsGlob("?.txt", ".txt"));
  EXPECT_FALSE(fitsGlob("??.txt", "\xC3\xBC.txt"));
  EXPECT_FALSE(fitsGlob("x?y", "x/y"));
  EXPECT_TRUE(fitsGlob("[a-c][0-9].gmi", "b7.gmi"));
  EXPECT_FALSE(fitsGlob("[a-c].gmi", "d.gmi"));
  EXPECT_TRUE(fitsGlob("[!a-c].gmi", "d.gmi"));
  EXPECT_FALSE(fitsGlob("[!a-c].gmi", "a.gmi"));
  EXPECT_TRUE(fitsGlob("[\xC3\xA4-\xC3\xBC]", "\xC3\xB6"));
  EXPECT_TRUE(fitsGlob("[]x]", "]"));
  EXPECT_TRUE(fitsGlob("[x", "[x")) << "no class without its end";
  EXPECT_TRUE(fitsGlob("*[0-9]", "page7"));
}

TEST(Glob, TakesNoExponentialTime) {
  std::string stars;
  for (int i = 0; i < 120; ++i) stars += "a*";
  std::string folders;
  for (int i = 0; i < 80; ++i) folders += "**/a/";
  std::string path;
  for (int i = 0; i < 500; ++i) path += "a/";
  const auto before = std::chrono::steady_clock::now();
  EXPECT_FALSE(fitsGlob(stars + "b", std::string(1000, 'a')));
  EXPECT_FALSE(fitsGlob("a*a*a*a*b", std::string(1000, 'a')));
  EXPECT_FALSE(fitsGlob(folders + "b", path + "c"));
  EXPECT_FALSE(fitsGlob("**/*a*a*a*b", path + std::string(500, 'a')));
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5));
}

}  // namespace
}  // namespace egalaxyd
