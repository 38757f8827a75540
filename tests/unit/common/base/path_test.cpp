#include "common/base/path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace egalaxyd {
namespace {

std::string normalised(std::string_view raw) {
  const auto result = normalisePath(raw);
  if (const auto* path = std::get_if<std::string>(&result)) return *path;
  return std::get<PathError>(result) == PathError::kAboveRoot ? "above root" : "unservable";
}

TEST(Path, NormalisesLexically) {
  const struct {
    std::string_view raw;
    std::string_view expected;
  } cases[] = {
      {"", "/"},
      {"/", "/"},
      {"//", "/"},
      {"/a", "/a"},
      {"/a/", "/a/"},
      {"//a///b//", "/a/b/"},
      {"/.", "/"},
      {"/./", "/"},
      {"/./a/./b/.", "/a/b/"},
      {"/a/..", "/"},
      {"/a/../b", "/b"},
      {"/a/b/..", "/a/"},
      {"/a/b/../", "/a/"},
      {"/a/b/../../c", "/c"},
      {"/...", "/..."},
      {"/.a/..b/c..", "/.a/..b/c.."},
      {"/%2e/a", "/a"},
      {"/a/%2E%2e/b", "/b"},
      {"/a/.%2e", "/"},
      {"/inde%78.gmi", "/index.gmi"},
      {"/my%20file+1.txt", "/my file+1.txt"},
      {"/caf%C3%A9", "/caf\xC3\xA9"},
      {"/caf\xC3\xA9", "/caf\xC3\xA9"},
      {"/a%3Fb%23c%25d%5Ce", "/a?b#c%d\\e"},
      {"/%252e%252e/", "/%2e%2e/"},
  };
  for (const auto& c : cases) EXPECT_EQ(normalised(c.raw), c.expected) << c.raw;
}

TEST(Path, KeepsEncodedSlashesApartWhereTheyAreLegal) {
  const auto keeping = [](std::string_view raw) {
    auto result = normalisePathKeepingSlashes(raw);
    if (auto* path = std::get_if<std::string>(&result)) {
      std::replace(path->begin(), path->end(), kEncodedSlash, '|');
      return *path;
    }
    return std::string(std::get<PathError>(result) == PathError::kAboveRoot ? "above root"
                                                                            : "unservable");
  };
  for (const auto& [raw, expected] : {std::pair("/a%2Fb", "/a|b"),
                                      {"/a%2fb/", "/a|b/"},
                                      {"//a//b%2F%2Fc", "/a/b||c"},
                                      {"/%2F", "/|"},
                                      {"/a%2F/../b", "unservable"},
                                      {"/a/%2541", "/a/%41"},
                                      {"/a%252Fb", "/a%2Fb"},
                                      {"/a%2F...", "/a|..."},
                                      {"/a%2F..", "unservable"},
                                      {"/a%2F..%2F..%2Fetc", "unservable"},
                                      {"/..%2Fa", "unservable"},
                                      {"/a%2F.", "unservable"},
                                      {"/a%2F%2e%2e", "unservable"},
                                      {"/a%2F%00", "unservable"},
                                      {"/a%2F%AE", "unservable"},
                                      {"/%00", "unservable"},
                                      {"/a%2Fb/../../..", "above root"}}) {
    EXPECT_EQ(keeping(raw), expected) << raw;
  }
}

TEST(Path, EncodesAnEncodedSlashAgain) {
  EXPECT_EQ(percentEncodePath(std::string_view("/a\0b/c", 6)), "/a%2Fb/c");
  EXPECT_EQ(percentEncodeSegment(std::string_view("a\0b/c", 5)), "a%00b%2Fc");
}

TEST(Path, RefusesALiteralClimbAboveTheRootAtAnyPoint) {
  for (const auto* raw : {"/..", "/../", "/../../", "/../a", "/a/../../a", "/./../a", "//../a",
                          "/a/b/../../../a/b/c/d", "/%2e%2e/../a", "/%00/../../a", "/%zz/../.."}) {
    EXPECT_EQ(normalised(raw), "above root") << raw;
  }
}

TEST(Path, NamesNothingWhenItsEncodingHidesSlashesControlsOrAClimb) {
  for (const auto* raw : {"/%2e%2e",
                          "/%2e%2e/%2e%2e/etc/passwd",
                          "/.%2E/x",
                          "/a/%2e%2e/%2e%2e/b",
                          "/a%2Fb",
                          "/a%2fb",
                          "/..%2F..%2Fetc/passwd",
                          "/testdir%2F..%2F..%2Fsecret",
                          "/%00",
                          "/a%00.gmi",
                          "/%0A",
                          "/%7F",
                          "/dir%0D%0A20%20text/html",
                          "/%C2%85",
                          "/%AE",
                          "/%C0%AF",
                          "/%ED%A0%80",
                          "/%F4%90%80%80",
                          "/%E2%82",
                          "/%",
                          "/%2",
                          "/%zz",
                          "/%00/../a"}) {
    EXPECT_EQ(normalised(raw), "unservable") << raw;
  }
}

TEST(Path, DecodesEveryPercentOnceAndLeavesThePlus) {
  EXPECT_EQ(percentDecode("a%20b+c"), "a b+c");
  EXPECT_EQ(percentDecode("%2541"), "%41");
  EXPECT_EQ(percentDecode("%00"), std::string(1, '\0'));
  EXPECT_EQ(percentDecode(""), "");
  for (const auto* broken : {"%", "%2", "a%", "%zz", "%2g", "%%20", "%+1", "% 1"}) {
    EXPECT_EQ(percentDecode(broken), std::nullopt) << broken;
  }
}

TEST(Path, EncodesWhatAPathMayNotHold) {
  EXPECT_EQ(percentEncodePath("/my dir/a;b=1?#%\"[]\r\n\xC3\xA9"),
            "/my%20dir/a%3Bb=1%3F%23%25%22%5B%5D%0D%0A%C3%A9");
  EXPECT_EQ(percentEncodePath("/-._~!$&'()*+,=:@"), "/-._~!$&'()*+,=:@");
}

TEST(Path, EncodesASegmentWithItsSlashesAndSemicolons) {
  EXPECT_EQ(percentEncodeSegment("a/b;c?d#e%f g"), "a%2Fb%3Bc%3Fd%23e%25f%20g");
}

TEST(Path, EncodingRoundTripsEveryByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(percentDecode(percentEncodePath(all.substr(1))), all.substr(1));
  EXPECT_EQ(percentDecode(percentEncodeSegment(all)), all);
}

/// All texts of `length` parts.
std::vector<std::string> combinations(const std::vector<std::string>& parts, int length) {
  std::vector<std::string> texts = {""};
  for (int i = 0; i < length; ++i) {
    std::vector<std::string> longer;
    for (const auto& text : texts) {
      for (const auto& part : parts) longer.push_back(text + part);
    }
    texts = std::move(longer);
  }
  return texts;
}

TEST(Path, NormalisingTwiceChangesNothing) {
  const std::vector<std::string> parts = {"/", ".", "a", "%2e", "%2F", "%25", "%41", "\xC3\xA9"};
  for (int length = 0; length <= 5; ++length) {
    for (const std::string& raw : combinations(parts, length)) {
      const auto first = normalisePath(raw);
      const auto* path = std::get_if<std::string>(&first);
      if (path == nullptr) continue;
      ASSERT_EQ(normalised(percentEncodePath(*path)), *path) << raw;
      ASSERT_EQ(path->front(), '/') << raw;
      const std::string closed = *path + "/";
      for (const auto* forbidden : {"//", "/./", "/../"}) {
        const auto at = closed.find(forbidden);
        ASSERT_TRUE(at == std::string::npos || at + 1 >= path->size()) << raw << " " << *path;
      }
    }
  }
}

TEST(Path, TellsPrintableCharactersFromTheRest) {
  EXPECT_EQ(printableLength(""), 0u);
  EXPECT_EQ(printableLength("a"), 1u);
  EXPECT_EQ(printableLength(" "), 1u);
  EXPECT_EQ(printableLength("\xC2\xA0"), 2u);
  EXPECT_EQ(printableLength("\xE2\x82\xAC..."), 3u);
  EXPECT_EQ(printableLength("\xF0\x9F\x9A\x80"), 4u);
  EXPECT_EQ(printableLength("\xF4\x8F\xBF\xBF"), 4u);
  for (const auto* bad :
       {"\t", "\x7F", "\x80", "\xC2\x85", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xC3", "\xFF"}) {
    EXPECT_EQ(printableLength(bad), 0u) << bad;
  }
  EXPECT_TRUE(isPrintable("caf\xC3\xA9 au lait"));
  EXPECT_FALSE(isPrintable("caf\xC3"));
}

TEST(Path, ShowsNothingThatATerminalObeys) {
  EXPECT_EQ(printable("51 Pas trouv\xC3\xA9"), "51 Pas trouv\xC3\xA9");
  EXPECT_EQ(printable("a\x1b[2J\x7f\r\n"), "a?[2J???");
  EXPECT_EQ(printable("\xC2\x9B"
                      "2J \xFF\xC3"),
            "??2J ??");
  EXPECT_EQ(printable(""), "");
}

TEST(TrailingSlash, IsAddedAndTaken) {
  EXPECT_EQ(withTrailingSlash("/dir"), "/dir/");
  EXPECT_EQ(withTrailingSlash("/dir/"), "/dir/");
  EXPECT_EQ(withTrailingSlash("/"), "/");
  EXPECT_EQ(withoutTrailingSlash("/dir/"), "/dir");
  EXPECT_EQ(withoutTrailingSlash("/dir"), "/dir");
  EXPECT_EQ(withoutTrailingSlash("/"), "/");
}

TEST(MountPath, HasOneSpelling) {
  EXPECT_EQ(mountPath("/"), "/");
  EXPECT_EQ(mountPath("/a/b/"), "/a/b");
  for (const char* path : {"//", "/a//b", "/./a", "/a/..", "/a//"}) {
    EXPECT_EQ(mountPath(path), std::nullopt) << path;
  }
}

TEST(Path, WhatIsNotSeenIsShownAsAReplacement) {
  for (const char* hidden :
       {"\u00AD", "\u0600", "\u061C",     "\u180E",     "\u200B",     "\u200D",    "\u200F",
        "\u2028", "\u2029", "\u202A",     "\u202E",     "\u2060",     "\u2066",    "\u2069",
        "\uFEFF", "\uFFFB", "\U000110BD", "\U0001D173", "\U000E0001", "\U000E007F"}) {
    EXPECT_TRUE(isInvisible(hidden)) << hidden;
    EXPECT_TRUE(holdsInvisible(std::string("a/") + hidden + "b")) << hidden;
    EXPECT_EQ(printable(std::string("a") + hidden + "b"), "a\uFFFDb") << hidden;
  }
  for (const char* seen :
       {"a", " ", "\u00AC", "\u00AE", "\u05FF", "\u200A", "\u2010", "\u2027", "\u202F", "\u2065",
        "\u2070", "\uFEFE", "\uFFFC", "\U0001F680", "\U000E0000", "\U000E0080", "\U0010FFFF"}) {
    EXPECT_FALSE(isInvisible(seen)) << seen;
    EXPECT_FALSE(holdsInvisible(std::string("a/") + seen + "b")) << seen;
    EXPECT_EQ(printable(std::string("a") + seen), std::string("a") + seen);
  }
  EXPECT_FALSE(isInvisible(""));
  EXPECT_FALSE(holdsInvisible("\xE2\x80"));
  EXPECT_TRUE(holdsInvisible("\xFF\u202E"));
}

}  // namespace
}  // namespace egalaxyd
