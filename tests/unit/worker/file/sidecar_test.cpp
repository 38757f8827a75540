#include "worker/file/sidecar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

/// "STATUS META" or "TYPE PARAMETERS LANG", of a `.meta`.
std::string metaSays(std::string_view text, std::string_view path) {
  const ParsedSidecar parsed = parseMetaSidecar(text);
  FileNote note;
  if (!parsed.notes->tell(path, note)) return "nothing";
  if (note.status != 0) return std::to_string(note.status) + " " + note.meta;
  return "type=" + note.type + " parameters=" + note.parameters +
         " lang=" + note.lang.value_or("-");
}

TEST(MetaSidecar, ReadsTheFourFormsOfAgate) {
  constexpr auto text =
      "# a comment\n"
      "\n"
      "index.gmi: ;lang=en-GB\r\n"
      "LICENSE:text/plain;charset=UTF-8 # of the project\n"
      "  gone.gmi : 52 This file is no longer here, sorry.\n"
      "plain.gmi:\n"
      "two.gmi: ;lang=en ;charset=us-ascii\n"
      "moved.gmi: 31 /new.gmi\n"
      "equals.gmi = text/html";
  EXPECT_EQ(metaSays(text, "index.gmi"), "type= parameters=; lang=en-GB lang=");
  EXPECT_EQ(metaSays(text, "LICENSE"), "type=text/plain parameters=; charset=UTF-8 lang=");
  EXPECT_EQ(metaSays(text, "gone.gmi"), "52 This file is no longer here, sorry.");
  EXPECT_EQ(metaSays(text, "plain.gmi"), "type= parameters= lang=");
  EXPECT_EQ(metaSays(text, "two.gmi"), "type= parameters=; lang=en; charset=us-ascii lang=");
  EXPECT_EQ(metaSays(text, "moved.gmi"), "31 /new.gmi");
  EXPECT_EQ(metaSays(text, "equals.gmi"), "type=text/html parameters= lang=");
  EXPECT_EQ(metaSays(text, "other.gmi"), "nothing");
  EXPECT_THAT(parseMetaSidecar(text).faults, IsEmpty());
}

TEST(MetaSidecar, TheLastLineThatFitsCounts) {
  constexpr auto text = "a.gmi: ;lang=a\n*.gmi: ;lang=b\nb.gmi: ;lang=c\n**/*.nl.gmi: ;lang=nl";
  EXPECT_EQ(metaSays(text, "a.gmi"), "type= parameters=; lang=b lang=");
  EXPECT_EQ(metaSays(text, "b.gmi"), "type= parameters=; lang=c lang=");
  EXPECT_EQ(metaSays(text, "x/y.nl.gmi"), "type= parameters=; lang=nl lang=");
  EXPECT_EQ(metaSays(text, "x/y.gmi"), "nothing");
  EXPECT_EQ(metaSays("*: text/plain", ".hidden"), "nothing");
  EXPECT_EQ(metaSays(".h*: text/plain", ".hidden"), "type=text/plain parameters= lang=");
}

TEST(MetaSidecar, BrokenLinesAreNamedAndSkipped) {
  const ParsedSidecar parsed = parseMetaSidecar(
      "no colon\n: text/plain\na: 5\nb: 29 x\nc: 30\nd: 20 nonsense\ne: text\nf: ;lang\n"
      "g: 51 a\x01z\n[other]\nh: ???\n[mime]\ngood: text/plain");
  std::vector<std::size_t> lines;
  for (const SidecarFault& fault : parsed.faults) lines.push_back(fault.line);
  EXPECT_THAT(lines, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
  FileNote note;
  EXPECT_TRUE(parsed.notes->tell("good", note));
  EXPECT_EQ(note.type, "text/plain");
}

TEST(MetaSidecar, BoundsWhatAnAuthorMayAskFor) {
  std::string globs;
  for (int i = 0; i < 100; ++i) globs += "a*a*a*a*a*a*a*a*" + std::to_string(i) + ": text/plain\n";
  const ParsedSidecar parsed = parseMetaSidecar(globs);
  EXPECT_EQ(parsed.faults.size(), 100 - kMostSidecarPatterns);
  const auto before = std::chrono::steady_clock::now();
  FileNote note;
  EXPECT_FALSE(parsed.notes->tell(std::string(255, 'a'), note));
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5));

  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "x\n";
  EXPECT_LE(parseMetaSidecar(lines).faults.size(), kMostSidecarLines + 1);
}

FileNote mollySays(std::string_view text, std::string_view path) {
  FileNote note;
  parseMollySidecar(text).notes->tell(path, note);
  return note;
}

TEST(MollySidecar, ReadsTypesLanguageAndEncoding) {
  constexpr auto text =
      "GeminiExt = \"gemtext\"\nDefaultLang = \"fi\"\nDefaultEncoding = \"iso-8859-1\"\n"
      "DirectorySort = \"Time\"\n[MimeOverrides]\n\"atom.xml\" = \"application/atom+xml\"\n"
      "'^/old/.*\\.txt$' = \"text/x-old\"\n";
  EXPECT_THAT(parseMollySidecar(text).faults, IsEmpty());
  EXPECT_EQ(mollySays(text, "a.txt").type, "");
  EXPECT_EQ(mollySays(text, "a.txt").lang, "fi");
  EXPECT_EQ(mollySays(text, "a.txt").charset, "iso-8859-1");
  EXPECT_EQ(mollySays(text, "a.gemtext").type, "text/gemini");
  EXPECT_EQ(mollySays(text, "x/atom.xml").type, "application/atom+xml");
  EXPECT_EQ(mollySays(text, "old/x/a.txt").type, "text/x-old");
}

TEST(MollySidecar, WhatAFolderBelowSaidStays) {
  FileNote note{.type = "a/b", .lang = "de"};
  parseMollySidecar("DefaultLang = \"fi\"\nMimeOverrides = { \".\" = \"c/d\" }")
      .notes->tell("x", note);
  EXPECT_EQ(note.type, "a/b");
  EXPECT_EQ(note.lang, "de");
}

TEST(MollySidecar, NamesWhatIsWrong) {
  const auto fault = [](std::string_view text) {
    const ParsedSidecar parsed = parseMollySidecar(text);
    EXPECT_EQ(parsed.faults.size(), 1U) << text;
    return parsed.faults.empty() ? SidecarFault{} : parsed.faults.front();
  };
  EXPECT_EQ(fault("a = 1\nb = = 2").line, 2U);
  EXPECT_EQ(fault("\nDefaultLang = \"e n\"").line, 2U);
  EXPECT_THAT(fault("DefaultLang = 7").text, HasSubstr("DefaultLang"));
  EXPECT_THAT(fault("MimeOverrides = 7").text, HasSubstr("table"));
  EXPECT_THAT(fault("[MimeOverrides]\n'(' = \"a/b\"").text, HasSubstr("missing )"));
  EXPECT_THAT(fault("[MimeOverrides]\n'x' = \"ab\"").text, HasSubstr("media type"));
}

TEST(MollySidecar, IsNotNestedBeyondMeasure) {
  std::string dots = "a";
  for (int i = 0; i < 30'000; ++i) dots += ".a";
  EXPECT_EQ(parseMollySidecar(dots + " = 1").faults.size(), 1U);
  EXPECT_EQ(parseMollySidecar("a = " + std::string(30'000, '[')).faults.size(), 1U);
  std::string lines = "a = ";
  for (int i = 0; i < 30'000; ++i) lines += "[\n";
  EXPECT_EQ(parseMollySidecar(lines).faults.size(), 1U);
  std::string patterns = "[MimeOverrides]\n";
  for (int i = 0; i < 100; ++i) patterns += "'" + std::to_string(i) + "' = \"a/b\"\n";
  EXPECT_EQ(parseMollySidecar(patterns).faults.size(), 1U);
}

}  // namespace
}  // namespace egalaxyd
