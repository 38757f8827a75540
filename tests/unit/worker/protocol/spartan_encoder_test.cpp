#include "worker/protocol/spartan_encoder.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <regex>
#include <string>

namespace egalaxyd {
namespace {

const SpartanTarget kAsked{"h.test", "/dir/page"};

std::string encoded(int status, std::string meta, const SpartanTarget& asked = kAsked) {
  Response response{static_cast<Status>(status), std::move(meta), nullptr};
  return encodeSpartanHeader(response, asked).line;
}

/// Header and body of a page without one of its own.
std::string page(int status, std::string meta, const SpartanTarget& asked = kAsked) {
  Response response{static_cast<Status>(status), std::move(meta), nullptr};
  std::string text = encodeSpartanHeader(response, asked).line;
  std::array<char, kBodyChunk> scratch;
  if (response.body) text += response.body->pull(scratch).bytes;
  return text;
}

void expectLegal(const std::string& header) {
  static const std::regex grammar("^(2 [!-~]+/[!-~]+(;.*)?|3 /.*|[45] [\\t -~]+)\r\n$");
  ASSERT_TRUE(std::regex_match(header, grammar)) << header;
  for (const char c : header.substr(0, header.size() - 2)) ASSERT_TRUE(c >= ' ' && c <= '~');
  ASSERT_FALSE(header.starts_with("3 //")) << header;
  ASSERT_NE(header[2], ' ') << header;
}

TEST(SpartanEncoder, SaysInOneDigitWhatGeminiSaysInTwo) {
  const std::pair<int, char> digits[] = {{20, '2'}, {40, '5'}, {41, '5'}, {42, '5'}, {43, '5'},
                                         {44, '4'}, {50, '4'}, {51, '4'}, {52, '4'}, {53, '4'},
                                         {59, '4'}, {60, '4'}, {61, '4'}, {62, '4'}};
  for (const auto& [status, digit] : digits) EXPECT_EQ(encoded(status, "a/b")[0], digit) << status;
  EXPECT_EQ(encoded(51, "Not found"), "4 Not found\r\n");
  EXPECT_EQ(encoded(40, "The page cannot be read now"), "5 The page cannot be read now\r\n");
  EXPECT_EQ(encoded(44, "30"), "4 Too many requests: wait 30 seconds\r\n");
  EXPECT_EQ(encoded(60, "Who?"), "4 This page is for certificates: come over Gemini\r\n");
  EXPECT_EQ(encoded(99, "?"), "5 The application behind this page failed\r\n");
}

TEST(SpartanEncoder, NamesTheMediaType) {
  EXPECT_EQ(encoded(20, "text/gemini; lang=en"), "2 text/gemini; lang=en\r\n");
  EXPECT_EQ(encoded(20, ""), "2 application/octet-stream\r\n");
  EXPECT_EQ(encoded(20, "text/gemini; lang=caf\xC3\xA9"), "2 text/gemini\r\n");
}

TEST(SpartanEncoder, RedirectsWithinTheHostByAbsolutePath) {
  EXPECT_EQ(encoded(31, "/dir/"), "3 /dir/\r\n");
  EXPECT_EQ(encoded(30, "/my%20dir/"), "3 /my%20dir/\r\n");
  EXPECT_EQ(encoded(30, "/caf\xC3\xA9"), "3 /caf%C3%A9\r\n");
  EXPECT_EQ(encoded(30, "gemini://h.test/x"), "3 /x\r\n");
  EXPECT_EQ(encoded(30, "gemini://H.TEST:1965/x"), "3 /x\r\n");
  EXPECT_EQ(encoded(30, "spartan://h.test:3000/x"), "3 /x\r\n");
  EXPECT_EQ(encoded(30, "gemini://h.test"), "3 /\r\n");
  EXPECT_EQ(encoded(30, "gemini://[::1]/x", {"::1", "/"}), "3 /x\r\n");
}

TEST(SpartanEncoder, ResolvesARelativeRedirect) {
  const auto from = [](std::string_view path, std::string target) {
    return encoded(30, std::move(target), {"h.test", path});
  };
  EXPECT_EQ(from("/app/a b/page", "other"), "3 /app/a%20b/other\r\n");
  EXPECT_EQ(from("/app/page", "./"), "3 /app/\r\n");
  EXPECT_EQ(from("/app/page", "../x%20y/z"), "3 /x%20y/z\r\n");
  EXPECT_EQ(from("/app/", "a%2Fb/caf\xC3\xA9"), "3 /app/a%2Fb/caf%C3%A9\r\n");
  EXPECT_EQ(from("/", ".//evil.test/"), "3 /evil.test/\r\n");
  EXPECT_EQ(from("", "x"), "3 /x\r\n");
  EXPECT_EQ(from("/app/page", "../../x").substr(0, 2), "4 ");
}

TEST(SpartanEncoder, SaysWhereItCannotRedirect) {
  for (const auto* target :
       {"gemini://other.test/x", "https://h.test/", "titan://h.test/x", "../../x", "?q", "x?q",
        "x#y", "/x?q", "/x?", "/x#y", "gemini://h.test//evil.test/", "gemini://u@h.test/", "/%zz",
        "mailto:a@b", "/a\\b", "gemini:/x"}) {
    const std::string header = encoded(30, target);
    EXPECT_TRUE(header.starts_with("4 ")) << target << ": " << header;
    expectLegal(header);
  }
  EXPECT_TRUE(encoded(30, "gemini:///x", {}).starts_with("4 "));
  EXPECT_EQ(encoded(30, "//evil.test/"), "5 Temporary failure\r\n");
}

TEST(SpartanEncoder, TurnsAPromptIntoAPage) {
  EXPECT_EQ(page(10, "Your name?"), "2 text/gemini\r\nYour name?\n\n=: /dir/page Answer\n");
  EXPECT_EQ(page(10, "Your na\xC3\xAFve name?", {"h", "/caf\xC3\xA9 x"}),
            "2 text/gemini\r\nYour na\xC3\xAFve name?\n\n=: /caf%C3%A9%20x Answer\n");
  EXPECT_NE(page(11, "Password?").find("not encrypted"), std::string::npos);
  EXPECT_EQ(page(10, "a\n=: /evil x"), "2 text/gemini\r\na?=: /evil x\n\n=: /dir/page Answer\n");
}

TEST(SpartanEncoder, IsAsciiWhateverTheTextIs) {
  EXPECT_EQ(encoded(51, "Caf\xC3\xA9 closed"), "4 Caf? closed\r\n");
  EXPECT_EQ(encoded(51, "\xE2\x82\xAC"), "4 ?\r\n");
  EXPECT_EQ(encoded(51, "a\r\n2 text/html"), "4 a??2 text/html\r\n");
  EXPECT_EQ(encoded(40, ""), "5 Temporary failure\r\n");
}

TEST(SpartanEncoder, IsLegalForAnyInput) {
  std::mt19937 random(static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()));
  using namespace std::string_literals;
  const std::string alphabet =
      "\0\t\r\n \x7F\x80\x85\xA0\xC2\xC3\xE2\x82\xAC\xEF\xBB\xBF\xF0/;=\"a?:%"s;
  for (int round = 0; round < 5'000; ++round) {
    std::string meta(random() % (round % 50 == 0 ? 1100 : 12), 'a');
    for (char& c : meta) c = alphabet[random() % alphabet.size()];
    if (random() % 4 == 0) meta.insert(0, "gemini://h.test/");
    const std::string header = encoded(static_cast<int>(random() % 70), meta);
    ASSERT_NO_FATAL_FAILURE(expectLegal(header)) << meta;
  }
}

}  // namespace
}  // namespace egalaxyd
