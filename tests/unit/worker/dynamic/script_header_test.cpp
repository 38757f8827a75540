#include "worker/dynamic/script_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "worker/protocol/gemini_encoder.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// What became of a header: the line that a client would get, or "" with the words for the log.
struct Heard {
  std::string line;
  std::string why;
  int status = 0;
  std::string body;
  bool warned = false;
  bool noted = false;
};

Heard conclude(const HeaderStep& step, std::string body) {
  Heard heard;
  if (const auto* header = std::get_if<ScriptHeader>(&step)) {
    heard.line = encodeGeminiHeader({header->status, header->meta, nullptr}).line;
    heard.status = static_cast<int>(header->status);
    heard.body = std::move(body);
    heard.noted = !header->notes.empty();
    heard.warned = std::ranges::any_of(header->notes, &HeaderNote::warning);
  } else if (const auto* bad = std::get_if<BadHeader>(&step)) {
    heard.why = bad->why;
    heard.status = static_cast<int>(bad->status);
  }
  return heard;
}

/// `said` in pieces of `size` bytes, and then the end.
Heard hear(std::string_view said, HeaderFrom from = HeaderFrom::kProgram,
           std::size_t size = std::string_view::npos) {
  ScriptHeaderParser parser(from);
  while (!said.empty()) {
    const std::string_view piece = said.substr(0, size);
    std::size_t consumed = 0;
    const HeaderStep step = parser.feed(piece, consumed);
    said.remove_prefix(std::min(consumed, piece.size()));
    if (!std::holds_alternative<NeedMore>(step)) return conclude(step, std::string(said));
    if (consumed < piece.size()) ADD_FAILURE() << "left bytes and wants more";
  }
  return conclude(parser.ended(), "");
}

Heard fromCapsule(std::string_view said) { return hear(said, HeaderFrom::kCapsule); }

std::string line(std::string_view said) { return hear(said).line; }

TEST(ScriptHeader, EndsWithLfOrCrlf) {
  EXPECT_EQ(line("20 text/plain\r\nbody"), "20 text/plain\r\n");
  EXPECT_EQ(line("20 text/plain\nbody"), "20 text/plain\r\n");
  EXPECT_EQ(hear("20 text/plain\r\nbody\n").body, "body\n");
  EXPECT_EQ(hear("20 text/plain\n\nbody").body, "\nbody");
  EXPECT_FALSE(hear("20 text/plain\r\n").noted);
}

TEST(ScriptHeader, MayComeInSingleBytes) {
  for (const std::string_view said :
       {"20 text/gemini; lang=de\r\nbody", "31 /x\nbody", "51\r\n", "21 x\r\n", "5 x\n",
        "Content-Type: text/plain\r\nX-Powered-By: PHP\r\n\r\nbody",
        "Status: 404 Not Found\nContent-Type: text/html\n\nbody", "Location: /x\n\n"}) {
    const Heard whole = hear(said);
    for (std::size_t size = 1; size < said.size(); ++size) {
      const Heard split = hear(said, HeaderFrom::kProgram, size);
      EXPECT_EQ(split.line, whole.line) << said << " by " << size;
      EXPECT_EQ(split.status, whole.status) << said << " by " << size;
    }
  }
}

TEST(ScriptHeader, CrAndLfMayComeApart) {
  ScriptHeaderParser parser(HeaderFrom::kProgram);
  std::size_t consumed = 0;
  EXPECT_TRUE(std::holds_alternative<NeedMore>(parser.feed("20 text/plain\r", consumed)));
  EXPECT_EQ(consumed, 14u);
  const HeaderStep step = parser.feed("\nbody", consumed);
  EXPECT_EQ(consumed, 1u);
  EXPECT_EQ(std::get<ScriptHeader>(step).meta, "text/plain");
}

TEST(ScriptHeader, IsFollowedByTheBodyAtOnce) {
  ScriptHeaderParser parser(HeaderFrom::kProgram);
  std::size_t consumed = 0;
  parser.feed("20 te", consumed);
  const HeaderStep step = parser.feed("xt/plain\r\nbody", consumed);
  EXPECT_EQ(consumed, 10u);
  EXPECT_TRUE(std::holds_alternative<ScriptHeader>(step));
}

TEST(ScriptHeader, SaysNothingWithoutBytes) {
  ScriptHeaderParser parser(HeaderFrom::kProgram);
  EXPECT_TRUE(parser.silent());
  const BadHeader nothing = parser.ended();
  EXPECT_EQ(nothing.status, Status::kCgiError);
  EXPECT_EQ(nothing.why, "ended without a word");
  EXPECT_EQ(nothing.text, "The application gave no answer");
  std::size_t consumed = 0;
  EXPECT_TRUE(std::holds_alternative<NeedMore>(parser.feed("", consumed)));
  EXPECT_TRUE(std::holds_alternative<NeedMore>(parser.feed("20 text", consumed)));
  EXPECT_FALSE(parser.silent());
  EXPECT_EQ(parser.ended().why, "ended before its header was whole: \"20 text\"");
  EXPECT_EQ(parser.ended().text, "");
}

TEST(ScriptHeader, WithoutDigitOrLetterIsNone) {
  for (const char* said : {"# Title\n", "\n20 text/plain\n", "\r\n\r\n", " 20 text/plain\n",
                           "\xEF\xBB\xBF"
                           "20 text/plain\n",
                           "<html>", "=> /x\n"}) {
    const Heard heard = hear(said);
    EXPECT_EQ(heard.status, 42) << said;
    EXPECT_THAT(heard.why, StartsWith("no header: \"")) << said;
  }
  EXPECT_EQ(hear("Hello, world\nmore\n").why, "no header: \"Hello, world?more?\"");
  EXPECT_THAT(hear("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n").why,
              StartsWith("no header: \"HTTP"));
  EXPECT_THAT(hear(std::string(1029, 'x')).why, StartsWith("no header: \"xxx"));
  EXPECT_THAT(hear("20text/gemini\n").why, StartsWith("no header: "));
  EXPECT_THAT(hear("2a text/gemini\n").why, StartsWith("no header: "));
}

TEST(ScriptHeader, QuotesAtMostEightyBytes) {
  const std::string why = hear("#" + std::string(500, 'x')).why;
  EXPECT_EQ(why, "no header: \"#" + std::string(79, 'x') + "\"");
  EXPECT_EQ(hear("#\x1B[31m\xFF\n").why, "no header: \"#?[31m??\"");
}

TEST(ScriptHeader, MayHaveBlanksBeforeItsMeta) {
  for (const char* said : {"20\ttext/plain\r\n", "20  text/plain\n", "20 \t text/plain \r\n"}) {
    const Heard heard = hear(said);
    EXPECT_EQ(heard.line, "20 text/plain\r\n") << said;
    EXPECT_TRUE(heard.noted && !heard.warned) << said;
  }
}

TEST(ScriptHeader, WithoutMetaHasTheUsualOne) {
  for (const char* said : {"20\r\n", "20\n", "20 \r\n", "20 \t\n"}) {
    const Heard heard = hear(said);
    EXPECT_EQ(heard.line, "20 text/gemini\r\n") << said;
    EXPECT_TRUE(heard.noted && !heard.warned) << said;
  }
  EXPECT_EQ(line("10\n"), "10 Enter input\r\n");
  EXPECT_EQ(line("11 \n"), "11 Enter input\r\n");
  EXPECT_EQ(line("40\r\n"), "40 Temporary failure\r\n");
  EXPECT_EQ(line("44\n"), "44 60\r\n");
  EXPECT_EQ(line("51\n"), "51 Not found\r\n");
  EXPECT_EQ(line("60 \n"), "60 A client certificate is required\r\n");
}

TEST(ScriptHeader, KeepsEveryStatusOfGemini) {
  for (const int status :
       {10, 11, 20, 30, 31, 40, 41, 42, 43, 44, 50, 51, 52, 53, 59, 60, 61, 62}) {
    const std::string meta = status == 20 ? "text/plain" : "x";
    const std::string said = std::to_string(status) + " " + meta + "\r\n";
    EXPECT_EQ(line(said), said);
  }
}

TEST(ScriptHeader, RedirectsToAUrlReference) {
  for (const char* target :
       {"/x", "x", "../x/", "?q", "/x?a=b#c", "gemini://e.org:1966/x", "https://e.org/?x#y",
        "mailto:a@b.org", "/caf\xC3\xA9", "/caf%C3%A9", "#part", ";x", "12:30"}) {
    EXPECT_EQ(line(std::string("30 ") + target + "\n"), std::string("30 ") + target + "\r\n");
  }
  for (const char* said : {"30\n", "31 \r\n", "30 /a b\n", "30 //e.org/x\n", "31 /a\x01\n",
                           "30 /a\rb\n", "30 /a\xFF\n", "30 /%zz\n", "30 gemini://\n",
                           "30 gemini://u@h/\n", "30 /x#a#b\n", "30 /<x>\n"}) {
    const Heard heard = hear(said);
    EXPECT_EQ(heard.status, 42) << said;
    EXPECT_THAT(heard.why, StartsWith("bad redirect \"")) << said;
  }
}

TEST(ScriptHeader, HasAStatusThatExists) {
  for (const auto& [said, status] :
       {std::pair("21 x\n", "21"), std::pair("63 x\r\n", "63"), std::pair("99 x\n", "99"),
        std::pair("5 x\n", "5"), std::pair("200 OK\r\n", "200"), std::pair("00 x\n", "00"),
        std::pair("020 x\n", "020"), std::pair("5\n", "5")}) {
    const Heard heard = hear(said);
    EXPECT_EQ(heard.status, 42) << said;
    EXPECT_EQ(heard.why, "status " + std::string(status) + " does not exist") << said;
  }
}

TEST(ScriptHeader, IsAsLongAsGeminiHasIt) {
  const std::string longest = "10 " + std::string(1024, 'p');
  EXPECT_EQ(hear(longest + "\r\nbody").line, longest + "\r\n");
  EXPECT_EQ(hear(longest + "\r\nbody").body, "body");
  EXPECT_EQ(hear(longest + "\n").line, longest + "\r\n");
  EXPECT_EQ(hear(longest + "\r\n", HeaderFrom::kProgram, 1).line, longest + "\r\n");
  EXPECT_EQ(hear(longest + "p\r\n").status, 42);
  EXPECT_THAT(hear(longest + "p\r\n").why, StartsWith("no header: \"10 ppp"));
  EXPECT_THAT(hear(longest + "p\n").why, StartsWith("header too long: \"ppp"));
  EXPECT_LT(hear(longest + "p\n").why.size(), 110u);
}

TEST(ScriptHeader, IsText) {
  for (const char* said :
       {"10 a\x1B[1m\n", "10 a\rb\n", "11 \xFF\n", "20 text/\xC3\n", "20 a\tb\n"}) {
    const Heard heard = hear(said);
    EXPECT_EQ(heard.status, 42) << said;
    EXPECT_THAT(heard.why, StartsWith("the header is not text: \"")) << said;
  }
  EXPECT_EQ(hear(std::string_view("10 a\0b\n", 7)).status, 42);
  EXPECT_EQ(line("51 a\x1B[1m\xFF\n"), "51 a?[1m?\r\n");
  EXPECT_EQ(line("61 caf\xC3\xA9 \n"), "61 caf\xC3\xA9\r\n");
}

TEST(ScriptHeader, BrokenMediaTypeIsNotShown) {
  for (const char* said : {"20 text\n", "20 Hello world\n", "20 text/\n",
                           "20 text/plain charset=x\n", "20 caf\xC3\xA9/x\n"}) {
    const Heard heard = hear(said);
    EXPECT_EQ(heard.line, "20 application/octet-stream\r\n") << said;
    EXPECT_TRUE(heard.warned) << said;
  }
  EXPECT_EQ(line("20 text/gemini;\n"), "20 text/gemini\r\n");
  EXPECT_EQ(line("20 text/plain ; charset\n"), "20 text/plain\r\n");
  EXPECT_TRUE(hear("20 text/gemini;\n").warned);
  EXPECT_EQ(line("20 text/gemini; lang=de\n"), "20 text/gemini; lang=de\r\n");
}

TEST(ScriptHeader, BlockNamesItsMediaType) {
  const Heard php =
      hear("X-Powered-By: PHP/8.2\r\nContent-type: text/html; charset=UTF-8\r\n\r\n<p>");
  EXPECT_EQ(php.line, "20 text/html; charset=UTF-8\r\n");
  EXPECT_EQ(php.body, "<p>");
  EXPECT_EQ(hear("content-type:text/plain\n\n\nbody").body, "\nbody");
  EXPECT_EQ(line("CONTENT-TYPE: \t text/plain \nX_y: z\n\n"), "20 text/plain\r\n");
  EXPECT_EQ(line("Content-Type: x\n\n"), "20 application/octet-stream\r\n");
  EXPECT_EQ(line("Content-Type:\n\n"), "20 text/gemini\r\n");
}

TEST(ScriptHeader, BlockRedirects) {
  EXPECT_EQ(line("Location: /x\r\n\r\n"), "30 /x\r\n");
  EXPECT_EQ(line("Location: gemini://e.org/\nContent-Type: text/html\n\n"),
            "30 gemini://e.org/\r\n");
  EXPECT_EQ(line("Status: 301 Moved\nLocation: /x\n\n"), "31 /x\r\n");
  EXPECT_EQ(line("Status: 302 Found\r\nLocation: /x\r\nContent-type: text/html\r\n\r\n"),
            "30 /x\r\n");
  EXPECT_THAT(hear("Status: 302 Found\n\n").why, StartsWith("bad redirect"));
  EXPECT_THAT(hear("Location: /a b\n\n").why, StartsWith("bad redirect"));
  EXPECT_THAT(hear("Location: /" + std::string(1024, 'x') + "\n\n").why,
              StartsWith("header too long"));
}

TEST(ScriptHeader, BlockMapsStatusesOfHttp) {
  const std::pair<int, int> rows[] = {
      {200, 20}, {201, 20}, {204, 20}, {301, 31}, {308, 31}, {302, 30}, {303, 30},
      {307, 30}, {400, 59}, {405, 59}, {401, 60}, {403, 61}, {404, 51}, {410, 52},
      {429, 44}, {503, 41}, {402, 50}, {451, 50}, {500, 42}, {502, 42}, {504, 42}};
  for (const auto& [code, status] : rows) {
    const Heard heard = hear("Status: " + std::to_string(code) + " Words\nLocation: /x\n\n");
    EXPECT_EQ(heard.status, status) << code;
    EXPECT_EQ(heard.why, "") << code;
  }
  EXPECT_EQ(line("Status: 404 No such page\nContent-Type: text/html\n\n"), "51 No such page\r\n");
  EXPECT_EQ(line("Status: 404\n\n"), "51 Not found\r\n");
  EXPECT_EQ(line("Status: 429 Too Many Requests\n\n"), "44 60\r\n");
  for (const char* code :
       {"100 Continue", "304 Not Modified", "600", "OK", "", "20", "2000", "-200"}) {
    const Heard heard = hear(std::string("Status: ") + code + "\nContent-Type: text/plain\n\n");
    EXPECT_EQ(heard.status, 42) << code;
    EXPECT_THAT(heard.why, HasSubstr("means nothing here")) << code;
  }
}

TEST(ScriptHeader, BlockOfASuccessMayLackItsMediaType) {
  EXPECT_EQ(line("Status: 200 OK\n\nbody"), "20 text/gemini\r\n");
}

TEST(ScriptHeader, BlockWithoutAnyOfTheThreeIsNone) {
  const Heard heard = hear("X-Powered-By: PHP\r\nSet-Cookie: a=b\r\n\r\nbody");
  EXPECT_EQ(heard.status, 42);
  EXPECT_EQ(heard.why, "a header without Content-Type");
}

TEST(ScriptHeader, BlockIsOfFieldsToItsEmptyLine) {
  EXPECT_THAT(hear("Content-Type: text/plain\nbody\n\n").why, StartsWith("no header: "));
  EXPECT_THAT(hear("Content-Type: text/plain\n folded\n\n").why, StartsWith("no header: "));
  EXPECT_THAT(hear("Content Type: text/plain\n\n").why, StartsWith("no header: "));
  EXPECT_THAT(hear("Content-Type: text/plain\n").why, StartsWith("ended before its header"));
}

TEST(ScriptHeader, BlockHasEightKibibytes) {
  const std::string end = "Content-Type: text/plain\r\n\r\n";
  const std::string fits = "X: " + std::string(8192 - 5 - end.size(), 'x') + "\r\n" + end;
  ASSERT_EQ(fits.size(), 8192u);
  EXPECT_EQ(hear(fits + "body").line, "20 text/plain\r\n");
  EXPECT_EQ(hear(fits + "body").body, "body");
  EXPECT_EQ(hear(fits + "body", HeaderFrom::kProgram, 1).line, "20 text/plain\r\n");
  EXPECT_THAT(hear("X" + fits).why, StartsWith("header too long"));
}

TEST(ScriptHeader, CapsulesSpeakGemini) {
  EXPECT_EQ(fromCapsule("20 text/gemini\r\nbody").line, "20 text/gemini\r\n");
  EXPECT_EQ(fromCapsule("44 7\r\n").line, "44 7\r\n");
  for (const char* said : {"60 \r\n", "61 No\r\n", "62 Old\r\n", "21 x\r\n", "# Title\n",
                           "Content-Type: text/plain\r\n\r\n", "30 /a b\r\n", ""}) {
    const Heard heard = fromCapsule(said);
    EXPECT_EQ(heard.status, 43) << said;
    EXPECT_NE(heard.why, "") << said;
  }
  EXPECT_THAT(fromCapsule("61 No entry\r\n").why, StartsWith("answered 61 \"No entry\""));
}

}  // namespace
}  // namespace egalaxyd
