#include "worker/protocol/gemini_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace egalaxyd {
namespace {

struct Outcome {
  std::string text;  ///< "more", "url <URL>" or "malformed <text>"
  std::size_t consumed = 0;
  bool operator==(const Outcome&) const = default;
};

void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << outcome.text << " after " << outcome.consumed;
}

/// Feeds `pieces` one after the other until there is an answer.
Outcome parse(const std::vector<std::string_view>& pieces) {
  GeminiParser parser;
  Outcome outcome{"more", 0};
  for (const std::string_view piece : pieces) {
    std::size_t consumed = 0;
    const ParseStep step = parser.feed(piece, consumed);
    outcome.consumed += consumed;
    if (const auto* line = std::get_if<RequestLine>(&step)) {
      outcome.text = "url " + line->url;
      return outcome;
    }
    if (const auto* malformed = std::get_if<Malformed>(&step)) {
      outcome.text = "malformed " + malformed->text;
      return outcome;
    }
    EXPECT_EQ(consumed, piece.size()) << "NeedMore must have eaten all";
  }
  return outcome;
}

Outcome parse(std::string_view bytes) { return parse(std::vector{bytes}); }

bool isMalformed(std::string_view bytes) { return parse(bytes).text.starts_with("malformed "); }

const std::vector<std::string>& wellFormed() {
  using namespace std::string_literals;
  static const std::vector<std::string> lines = {
      "gemini://h/\r\n",
      "gemini://h\r\n",
      "gemini://h:1965/\r\n",
      "gemini://h:\r\n",
      "gemini://h:01965/\r\n",
      "gemini://h?q\r\n",
      "gemini://h:1965?x\r\n",
      "gemini://h/?\r\n",
      "GEMINI://h/\r\n",
      "gemini://HoSt/\r\n",
      "gemini://h/@alice\r\n",
      "gemini://h/?a@b\r\n",
      "gemini://h/a:b@c\r\n",
      "gemini://127.0.0.1:1965/\r\n",
      "gemini://[::1]:1965/\r\n",
      "gemini://h/caf\xC3\xA9?\xE2\x82\xAC\r\n",
      "gemini://xn--caf-dma.h/\r\n",
      "gemini://h/inde%78.gmi\r\n",
      "gemini://h/%00\r\n",
      "gemini://h/../../\r\n",
      "titan://h/x;size=1\r\n",
      "https://h/\r\n",
      "mailto:x@y\r\n",
      "data:,x\r\n",
      "gemini://h/" + std::string(1013, 'a') + "\r\n",
  };
  return lines;
}

const std::vector<std::string>& malformed() {
  using namespace std::string_literals;
  static const std::vector<std::string> lines = {
      "\r\n"s,
      "/\r\n"s,
      "//h/\r\n"s,
      "h/\r\n"s,
      "Hello Gemini!\r\n"s,
      "gemini:h/\r\n"s,
      "gemini:/h\r\n"s,
      "gemini:///x\r\n"s,
      "gemini://:1965/\r\n"s,
      " gemini://h/\r\n"s,
      "gemini://h/ \r\n"s,
      "gemini://user@h/\r\n"s,
      "gemini://user:pw@h/\r\n"s,
      "gemini://:secret@h/\r\n"s,
      "gemini://@h/\r\n"s,
      "gemini://h/#top\r\n"s,
      "gemini://h/?q#f\r\n"s,
      "gemini://h/x#\r\n"s,
      "gemini://h#x\r\n"s,
      "https://h/#x\r\n"s,
      "\xEF\xBB\xBFgemini://h/\r\n"s,
      "gemini://h/\nX\r\n"s,
      "gemini://h/\rX\r\n"s,
      "gemini://h/\r\r\n"s,
      "gemini://h/\n\r\n"s,
      "gemini://h/\xDC\r\n"s,
      "gemini://h/\0\r\n"s,
      "gemini://h/\x01\r\n"s,
      "gemini://h/\x7F\r\n"s,
      "gemini://h/\t\r\n"s,
      "gemini://h/%zz\r\n"s,
      "gemini://h/%2\r\n"s,
      "gemini://h/%\r\n"s,
      "gemini://h:abc/\r\n"s,
      "gemini://h:65536/\r\n"s,
      "gemini://h:-1/\r\n"s,
      "gemini://[::1/\r\n"s,
      "gemini://[zz]/\r\n"s,
      "gemini://%/\r\n"s,
      "gemini://h/" + std::string(1014, 'a') + "\r\n",
      std::string(1026, 'a'),
      std::string(16 * 1024, 'a'),
      "gemini://h/\n" + std::string(1024, 'a'),
  };
  return lines;
}

TEST(GeminiParser, AcceptsAbsoluteUrisAsSent) {
  for (const std::string& line : wellFormed()) {
    const std::string url = line.substr(0, line.size() - 2);
    EXPECT_EQ(parse(line), (Outcome{"url " + url, line.size()}));
  }
}

TEST(GeminiParser, RefusesWhatIsNoRequest) {
  for (const std::string& line : malformed()) EXPECT_TRUE(isMalformed(line)) << line;
}

TEST(GeminiParser, AnswersTheSameForEverySplit) {
  std::vector<std::string> lines = wellFormed();
  lines.insert(lines.end(), malformed().begin(), malformed().end());
  for (const std::string& bare : lines) {
    const std::string line = bare + "gemini://h/second\r\n";
    const Outcome whole = parse(line);
    for (std::size_t cut = 0; cut <= line.size(); ++cut) {
      const std::string_view view = line;
      ASSERT_EQ(parse({view.substr(0, cut), view.substr(cut)}), whole) << line << " at " << cut;
    }
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < line.size(); ++i)
      bytes.push_back(std::string_view(line).substr(i, 1));
    ASSERT_EQ(parse(bytes), whole) << line;
  }
}

TEST(GeminiParser, TakesUrlsOfExactly1024Bytes) {
  const std::string longest = "gemini://h/" + std::string(1013, 'a');
  ASSERT_EQ(longest.size(), 1024u);
  EXPECT_EQ(parse(longest + "\r\n").text, "url " + longest);
  EXPECT_EQ(parse(longest + "a\r\n").text, "malformed The URL is longer than 1024 bytes");
}

TEST(GeminiParser, CountsBytesNotCharacters) {
  std::string url = "gemini://h/a";
  while (url.size() < 1024) url += "\xC3\xA9";
  ASSERT_EQ(url.size(), 1024u);
  EXPECT_EQ(parse(url + "\r\n").text, "url " + url);
  EXPECT_TRUE(isMalformed(url + "a\r\n"));
}

TEST(GeminiParser, AnswersAtByte1026WithoutWaitingForMore) {
  EXPECT_EQ(parse(std::string(1025, 'a')).text, "more");
  EXPECT_EQ(parse(std::string(1026, 'a')),
            (Outcome{"malformed The URL is longer than 1024 bytes", 1026}));
}

TEST(GeminiParser, WaitsForTheLineEndBehindALoneLf) {
  EXPECT_EQ(parse("gemini://h/\n").text, "more");
  EXPECT_EQ(parse("gemini://h/\r").text, "more");
  EXPECT_EQ(parse("").text, "more");
}

TEST(GeminiParser, LeavesBytesBehindTheLineToTheCaller) {
  EXPECT_EQ(parse("gemini://h/\r\nGARBAGE"), (Outcome{"url gemini://h/", 13}));
  EXPECT_EQ(parse("gemini://h/a\r\ngemini://h/b\r\n"), (Outcome{"url gemini://h/a", 14}));
}

TEST(GeminiParser, TellsWhatARefusedUploadAnnounces) {
  const auto announced = [](std::string_view line) {
    GeminiParser parser;
    std::size_t consumed = 0;
    return std::get<Malformed>(parser.feed(line, consumed)).announced;
  };
  EXPECT_EQ(announced("titan://h/a;token=%zz;size=7\r\n"), 7u);
  EXPECT_EQ(announced("titan://u@h/a;size=7\r\n"), 7u);
  EXPECT_EQ(announced("titan://h/%zz;mime=a/b;size=7?q\r\n"), 7u);
  EXPECT_EQ(announced("titan://h/a;size=7;size=7\r\n"), 7u);
  EXPECT_EQ(announced("titan://h/a;size=x\r\n"), std::nullopt);
  EXPECT_EQ(announced("gemini://h/%zz\r\n"), std::nullopt);
}

}  // namespace
}  // namespace egalaxyd
