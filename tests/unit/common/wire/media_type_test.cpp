#include "common/wire/media_type.h"

#include <gtest/gtest.h>

#include <string>

namespace egalaxyd {
namespace {

TEST(MediaType, KnowsWhatCapsulesHold) {
  const struct {
    std::string_view name;
    std::string_view type;
  } cases[] = {
      {"index.gmi", "text/gemini"},
      {"index.gemini", "text/gemini"},
      {"book.gpub", "application/gpub+zip"},
      {"robots.txt", "text/plain"},
      {"README.md", "text/markdown"},
      {"feed.atom", "application/atom+xml"},
      {"feed.rss", "application/rss+xml"},
      {"feed.xml", "application/xml"},
      {"a.json", "application/json"},
      {"a.html", "text/html"},
      {"a.css", "text/css"},
      {"a.js", "text/javascript"},
      {"a.pdf", "application/pdf"},
      {"a.epub", "application/epub+zip"},
      {"a.png", "image/png"},
      {"a.jpeg", "image/jpeg"},
      {"a.svg", "image/svg+xml"},
      {"a.ogg", "audio/ogg"},
      {"a.mp3", "audio/mpeg"},
      {"a.webm", "video/webm"},
      {"a.woff2", "font/woff2"},
      {"a.zip", "application/zip"},
  };
  for (const auto& c : cases) EXPECT_EQ(mediaTypeOf(c.name), c.type) << c.name;
}

TEST(MediaType, ComparesExtensionsWithoutCase) {
  EXPECT_EQ(mediaTypeOf("INDEX.GMI"), "text/gemini");
  EXPECT_EQ(mediaTypeOf("Photo.JpG"), "image/jpeg");
}

TEST(MediaType, TakesCompressedFilesForWhatTheyAre) {
  EXPECT_EQ(mediaTypeOf("a.txt.gz"), "application/gzip");
  EXPECT_EQ(mediaTypeOf("a.tar.gz"), "application/gzip");
  EXPECT_EQ(mediaTypeOf("a.gz"), "application/gzip");
}

TEST(MediaType, FindsAnExtensionBehindUnknownOnes) {
  EXPECT_EQ(mediaTypeOf("notes.2024-01-02.unknown-x.gmi"), "text/gemini");
  EXPECT_EQ(mediaTypeOf("a.b.c/index.gmi"), "text/gemini");
}

TEST(MediaType, KnowsNothingOfOtherNames) {
  for (const auto* name : {"", "a", "gmi", ".gmi", "a.", ".", "..", "...", "a.no-such-extension",
                           "a.gmi.no-such-extension", "a.gmi/README"}) {
    EXPECT_EQ(mediaTypeOf(name), "") << name;
  }
}

TEST(MediaType, ReadsMimeTypesFiles) {
  const MediaTypes types = parseMimeTypes(
      "# comment\n"
      "\n"
      "text/x-one\t\tone ONE1  # more\n"
      "text/x-empty\n"
      "  application/x-two two.three\r\n"
      "nonsense four\n"
      "text/x-late one\n"
      "text/x-last five");
  const MediaTypes expected = {{".one", "text/x-one"},
                               {".one1", "text/x-one"},
                               {".two.three", "application/x-two"},
                               {".five", "text/x-last"}};
  EXPECT_EQ(types, expected);
}

TEST(MediaType, AcceptsWhatRfc2045Allows) {
  for (const auto* text :
       {"text/gemini", "text/gemini;lang=en", "text/gemini; charset=utf-8; lang=en",
        "text/gemini; lang=\"en,fr\"", "application/atom+xml", "a/b;c=\"\\\"\"", "a/b;c=\"\""}) {
    EXPECT_TRUE(isMediaType(text)) << text;
  }
}

TEST(MediaType, RefusesWhatMetaMustNotHold) {
  for (const auto* text : {"",
                           "/",
                           "text",
                           "text/",
                           "/gemini",
                           "text/gemini;",
                           "text/gemini; ",
                           "text/gemini ;a=b",
                           "text/gemini;a",
                           "text/gemini;a=",
                           "text/gemini;=b",
                           "text/gemini;a=b c",
                           "text gemini/x",
                           "text/gemini\r\n",
                           "text/gemini;a=\"b",
                           "text/gemini;a=\"\t\"",
                           "text/gemini;a=\"\\",
                           "text/caf\xC3\xA9",
                           "text/gemini;a=\"\xC3\xA9\"",
                           " text/gemini",
                           "text/gemini/x"}) {
    EXPECT_FALSE(isMediaType(text)) << text;
  }
  EXPECT_TRUE(isMediaType("a/" + std::string(1022, 'b')));
  EXPECT_FALSE(isMediaType("a/" + std::string(1023, 'b')));
}

}  // namespace
}  // namespace egalaxyd
