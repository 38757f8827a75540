#include "worker/protocol/spartan_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace egalaxyd {
namespace {

struct Outcome {
  std::string text;  ///< "more", "url <URL> <length>" or "malformed <text>"
  std::size_t consumed = 0;
  bool operator==(const Outcome&) const = default;
};

void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << outcome.text << " after " << outcome.consumed;
}

/// Feeds `pieces` one after the other until there is an answer.
Outcome parse(const std::vector<std::string_view>& pieces) {
  SpartanParser parser;
  Outcome outcome{"more", 0};
  for (const std::string_view piece : pieces) {
    std::size_t consumed = 0;
    const ParseStep step = parser.feed(piece, consumed);
    outcome.consumed += consumed;
    if (const auto* line = std::get_if<RequestLine>(&step)) {
      outcome.text =
          "url " + line->url + " " + std::to_string(line->upload ? line->upload->size : 0);
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

RequestLine parsedLine(std::string_view bytes) {
  SpartanParser parser;
  std::size_t consumed = 0;
  return std::get<RequestLine>(parser.feed(bytes, consumed));
}

bool isMalformed(std::string_view bytes) { return parse(bytes).text.starts_with("malformed "); }

struct Line {
  std::string sent;
  std::string url;
  std::uint64_t length = 0;
};

const std::vector<Line>& wellFormed() {
  static const std::vector<Line> lines = {
      {"h / 0\r\n", "spartan://h/"},
      {"h / 000\r\n", "spartan://h/"},
      {"h /x 5\r\n", "spartan://h/x", 5},
      {"h /up 18446744073709551615\r\n", "spartan://h/up", UINT64_MAX},
      {"EXAMPLE.test / 0\r\n", "spartan://EXAMPLE.test/"},
      {"127.0.0.1 / 0\r\n", "spartan://127.0.0.1/"},
      {"[::1] / 0\r\n", "spartan://[::1]/"},
      {"::1 / 0\r\n", "spartan://[::1]/"},
      {"h:300 / 0\r\n", "spartan://h:300/"},
      {"[::1]:3000 / 0\r\n", "spartan://[::1]:3000/"},
      {"h /caf%C3%A9.txt 0\r\n", "spartan://h/caf%C3%A9.txt"},
      {"h /my%20file.txt 0\r\n", "spartan://h/my%20file.txt"},
      {"h /../x 0\r\n", "spartan://h/../x"},
      {"h /%2e%2e/%2F/%00 0\r\n", "spartan://h/%2e%2e/%2F/%00"},
      {"h /a//b 0\r\n", "spartan://h/a//b"},
      {"h /a;size=5 0\r\n", "spartan://h/a;size=5"},
      {"h /" + std::string(4091, 'a') + " 0\r\n", "spartan://h/" + std::string(4091, 'a')},
  };
  return lines;
}

const std::vector<std::string>& malformed() {
  using namespace std::string_literals;
  static const std::vector<std::string> lines = {
      "\r\n"s,
      " \r\n"s,
      "  \r\n"s,
      "h\r\n"s,
      "h /\r\n"s,
      "h / \r\n"s,
      "h / 0 \r\n"s,
      "h / 0 0\r\n"s,
      "h  / 0\r\n"s,
      "h /  0\r\n"s,
      " h / 0\r\n"s,
      " / 0\r\n"s,
      "/ 0\r\n"s,
      "h / +5\r\n"s,
      "h / -1\r\n"s,
      "h / 0x10\r\n"s,
      "h / 5a\r\n"s,
      "h / 1.0\r\n"s,
      "h / 18446744073709551616\r\n"s,
      "h / 99999999999999999999999\r\n"s,
      "h index.gmi 0\r\n"s,
      "h /a?b 0\r\n"s,
      "h /? 0\r\n"s,
      "h /a#b 0\r\n"s,
      "h //etc 0\r\n"s,
      "h // 0\r\n"s,
      "h /%zz 0\r\n"s,
      "h /%2 0\r\n"s,
      "h /a\\b 0\r\n"s,
      "h /a\"b 0\r\n"s,
      "h/a /b 0\r\n"s,
      "h?a /b 0\r\n"s,
      "h/?a / 0\r\n"s,
      "h# /b 0\r\n"s,
      "user@h / 0\r\n"s,
      "h:99999 / 0\r\n"s,
      "h:x / 0\r\n"s,
      "[::1 / 0\r\n"s,
      "::zz / 0\r\n"s,
      "[h] / 0\r\n"s,
      "GET / HTTP/1.1\r\n"s,
      "spartan://h/ / 0\r\n"s,
      "gemini://h/\r\n"s,
      "h / 0\n"s,
      "h / 0\rx"s,
      "h / 0\r\r\n"s,
      "h /\0 0\r\n"s,
      "h /\t 0\r\n"s,
      "h\t/ 0\r\n"s,
      "h /caf\xC3\xA9 0\r\n"s,
      "h /\x7F 0\r\n"s,
      "\xEF\xBB\xBFh / 0\r\n"s,
      "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"s,
      "h /" + std::string(4092, 'a') + " 0\r\n",
      std::string(4097, 'a'),
      std::string(16 * 1024, 'a'),
  };
  return lines;
}

TEST(SpartanParser, AcceptsHostPathAndLengthAsSent) {
  for (const Line& line : wellFormed()) {
    EXPECT_EQ(parse(line.sent),
              (Outcome{"url " + line.url + " " + std::to_string(line.length), line.sent.size()}));
  }
}

TEST(SpartanParser, RefusesWhatIsNoRequest) {
  for (const std::string& line : malformed()) EXPECT_TRUE(isMalformed(line)) << line;
}

TEST(SpartanParser, AnswersTheSameForEverySplit) {
  std::vector<std::string> lines = malformed();
  for (const Line& line : wellFormed()) lines.push_back(line.sent);
  for (const std::string& bare : lines) {
    const std::string line = bare + "data\r\n";
    const Outcome whole = parse(line);
    for (std::size_t cut = 0; cut <= line.size(); ++cut) {
      const std::string_view view = line;
      ASSERT_EQ(parse({view.substr(0, cut), view.substr(cut)}), whole) << line << " at " << cut;
    }
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < line.size(); ++i) {
      bytes.push_back(std::string_view(line).substr(i, 1));
    }
    ASSERT_EQ(parse(bytes), whole) << line;
  }
}

TEST(SpartanParser, GivesHostAndPortApart) {
  const RequestLine plain = parsedLine("EXAMPLE.test /A%20b 0\r\n");
  EXPECT_EQ(plain.uri.scheme, "spartan");
  EXPECT_EQ(plain.uri.host, "example.test");
  EXPECT_EQ(plain.uri.path, "/A%20b");
  EXPECT_FALSE(plain.uri.port);
  EXPECT_FALSE(plain.uri.query);
  EXPECT_FALSE(plain.upload);
  for (const auto* line : {"::1 / 1\r\n", "[::1] / 1\r\n", "[0:0::1] / 1\r\n"}) {
    const RequestLine literal = parsedLine(line);
    EXPECT_EQ(literal.uri.host, "::1") << line;
    EXPECT_EQ(literal.upload.value().size, 1u);
  }
  EXPECT_EQ(parsedLine("h:3000 / 0\r\n").uri.port, 3000);
}

TEST(SpartanParser, TakesAHostBeyondAsciiAndNothingElse) {
  for (const auto* line : {"b\xC3\xBC"
                           "cher.test:3000 /x 0\r\n",
                           "b%C3%BCcher.test.:3000 /x 0\r\n"}) {
    EXPECT_EQ(parsedLine(line).uri.host, "xn--bcher-kva.test") << line;
    EXPECT_EQ(parsedLine(line).uri.port, 3000) << line;
  }
  EXPECT_EQ(parse("h /b\xC3\xBC 0\r\n").consumed, 5u);
  EXPECT_EQ(parse("b\xFC / 0\r\n").text.substr(0, 9), "malformed");
}

TEST(SpartanParser, LeavesTheDataBlockToTheCaller) {
  EXPECT_EQ(parse("h /up 4\r\n\r\n\r\n"), (Outcome{"url spartan://h/up 4", 9}));
  EXPECT_EQ(parse("h / 0\r\nsurplus"), (Outcome{"url spartan://h/ 0", 7}));
}

TEST(SpartanParser, AnswersAtOnceWhatCanNoMoreBecomeALine) {
  EXPECT_EQ(parse("\x16\x03\x01").consumed, 1u);
  EXPECT_EQ(parse("h / 0\n").consumed, 6u);
  EXPECT_EQ(parse(std::string(4096, 'a')).text, "more");
  EXPECT_EQ(parse(std::string(4097, 'a')),
            (Outcome{"malformed The request line is longer than 4096 bytes", 4097}));
  EXPECT_EQ(parse(std::string(4096, 'a') + "\r").text, "more");
  EXPECT_EQ(parse("").text, "more");
}

TEST(SpartanParser, TellsWhatARefusedLineAnnounces) {
  const auto announced = [](std::string_view line) {
    SpartanParser parser;
    std::size_t consumed = 0;
    return std::get<Malformed>(parser.feed(line, consumed)).announced;
  };
  EXPECT_EQ(announced("h /a?b 7\r\n"), 7u);
  EXPECT_EQ(announced("h a 7\r\n"), 7u);
  EXPECT_EQ(announced("h /%z 7\r\n"), 7u);
  EXPECT_EQ(announced("h /a 7x\r\n"), std::nullopt);
  EXPECT_EQ(announced("h /a\r\n"), std::nullopt);
}

}  // namespace
}  // namespace egalaxyd
