#include "worker/protocol/gemini_encoder.h"

#include <gtest/gtest.h>

#include <random>
#include <regex>
#include <string>

#include "common/base/path.h"

namespace egalaxyd {
namespace {

std::string encoded(int status, std::string meta) {
  return encodeGeminiHeader({static_cast<Status>(status), std::move(meta), nullptr}).line;
}

/// G19, and G20: printable UTF-8 up to the CRLF; and the length limit.
void expectLegal(const std::string& header) {
  static const std::regex grammar(
      "^(1[01] .+|20 [^ ;]+/[^ ;]+(;.*)?|3[01] .+|(4[0-4]|5[0-3]|59|6[0-2])( .+)?)\r\n$");
  ASSERT_TRUE(std::regex_match(header, grammar)) << header;
  ASSERT_TRUE(header.ends_with("\r\n"));
  ASSERT_TRUE(isPrintable(header.substr(0, header.size() - 2))) << header;
  ASSERT_GT(header.size(), 5u) << "a message always";
  ASSERT_NE(header[3], ' ');
  ASSERT_LE(header.size(), 3 + 1024 + 2u);
}

TEST(GeminiEncoder, WritesStatusSpaceMetaCrLf) {
  EXPECT_EQ(encoded(20, "text/gemini"), "20 text/gemini\r\n");
  EXPECT_EQ(encoded(20, "text/gemini; charset=utf-8; lang=\"en,fr\""),
            "20 text/gemini; charset=utf-8; lang=\"en,fr\"\r\n");
  EXPECT_EQ(encoded(10, "Enter a name"), "10 Enter a name\r\n");
  EXPECT_EQ(encoded(31, "/my%20dir/"), "31 /my%20dir/\r\n");
  EXPECT_EQ(encoded(44, "30"), "44 30\r\n");
  EXPECT_EQ(encoded(51, "Caf\xC3\xA9 closed"), "51 Caf\xC3\xA9 closed\r\n");
}

TEST(GeminiEncoder, AlwaysHasAMessage) {
  for (int status = 0; status < 100; ++status) {
    for (const auto* empty : {"", " ", "   ", "\xEF\xBB\xBF", " \xEF\xBB\xBF "}) {
      const std::string header = encoded(status, empty);
      SCOPED_TRACE(header);
      expectLegal(header);
    }
  }
  EXPECT_EQ(encoded(51, ""), "51 Not found\r\n");
  EXPECT_EQ(encoded(20, ""), "20 application/octet-stream\r\n");
}

TEST(GeminiEncoder, LetsNoTextBreakTheLine) {
  EXPECT_EQ(encoded(51, "a\r\n20 text/html"), "51 a??20 text/html\r\n");
  EXPECT_EQ(encoded(51,
                    "a\tb\x7F"
                    "c\x1B[2J"),
            "51 a?b?c?[2J\r\n");
  EXPECT_EQ(encoded(51, std::string("a\0b", 3)), "51 a?b\r\n");
  EXPECT_EQ(encoded(51,
                    "a\xC2\x85"
                    "b"),
            "51 a??b\r\n");
  EXPECT_EQ(encoded(51,
                    "a\xFF"
                    "b\xC3"),
            "51 a?b?\r\n");
}

TEST(GeminiEncoder, StripsWhatMayNotStandAtTheEnds) {
  EXPECT_EQ(encoded(10, "  Name?  "), "10 Name?\r\n");
  EXPECT_EQ(encoded(10, "\xEF\xBB\xBF\xEF\xBB\xBFName"), "10 Name\r\n");
}

TEST(GeminiEncoder, CutsLongTextsAtACharactersBorder) {
  EXPECT_EQ(encoded(40, std::string(1024, 'x')).size(), 3 + 1024 + 2u);
  EXPECT_EQ(encoded(40, std::string(5000, 'x')).size(), 3 + 1024 + 2u);
  std::string text = "x";
  for (int i = 0; i < 600; ++i) text += "\xC3\xA9";
  EXPECT_EQ(encoded(40, text), "40 " + text.substr(0, 1023) + "\r\n");
}

TEST(GeminiEncoder, KeepsAMediaTypeLegal) {
  EXPECT_EQ(encoded(20, "text/gemini; lang=caf\xC3\xA9"), "20 text/gemini\r\n");
  EXPECT_EQ(encoded(20, "text/gemini;a=" + std::string(1024, 'b')), "20 text/gemini\r\n");
  for (const auto* broken : {"text", "hello world", "text/ gemini", "te\r\nxt/gemini", "/", ";"}) {
    EXPECT_EQ(encoded(20, broken), "20 application/octet-stream\r\n") << broken;
  }
}

TEST(GeminiEncoder, RedirectsNowhereRatherThanWrongly) {
  const std::string longest = "/" + std::string(1023, 'a');
  EXPECT_EQ(encoded(30, longest), "30 " + longest + "\r\n");
  EXPECT_EQ(encoded(31, longest + "a"), "59 The URL is too long to be redirected\r\n");
  for (const auto* unusable : {"", " ", "//evil.example/", "/a b", "/a\r\n20 text/html", "/\xFF",
                               "/\t", "\xEF\xBB\xBF/a"}) {
    EXPECT_EQ(encoded(30, unusable), "40 Temporary failure\r\n") << unusable;
  }
}

TEST(GeminiEncoder, KnowsNoOtherStatusThanTheSpecifieds) {
  for (const int status : {-1, 0, 5, 12, 21, 32, 45, 54, 58, 63, 99, 200}) {
    EXPECT_TRUE(encoded(status, "x").starts_with("42 ")) << status;
  }
}

TEST(GeminiEncoder, IsLegalForAnyInput) {
  std::mt19937 random(static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()));
  using namespace std::string_literals;
  const std::string alphabet =
      "\0\t\r\n \x7F\x80\x85\xA0\xC2\xC3\xE2\x82\xAC\xEF\xBB\xBF\xF0/;=\"a?"s;
  for (int round = 0; round < 5'000; ++round) {
    std::string meta(random() % (round % 50 == 0 ? 1100 : 12), 'a');
    for (char& c : meta) c = alphabet[random() % alphabet.size()];
    const std::string header = encoded(static_cast<int>(random() % 70), meta);
    ASSERT_NO_FATAL_FAILURE(expectLegal(header)) << meta;
  }
}

}  // namespace
}  // namespace egalaxyd
