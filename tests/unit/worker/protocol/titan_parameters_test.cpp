#include "worker/protocol/titan_parameters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "worker/protocol/gemini_parser.h"

namespace egalaxyd {
namespace {

/// The whole line, through the parser that a connection has.
ParseStep parse(const std::string& line) {
  GeminiParser parser;
  std::size_t consumed = 0;
  return parser.feed(line + "\r\n", consumed);
}

RequestLine accepted(const std::string& line) {
  ParseStep step = parse(line);
  if (const auto* malformed = std::get_if<Malformed>(&step)) {
    ADD_FAILURE() << line << ": " << malformed->text;
    return {};
  }
  return std::get<RequestLine>(std::move(step));
}

TEST(TitanParameters, ComeInAnyOrder) {
  std::array<std::string, 3> parts{";mime=text/plain", ";size=3", ";token=t"};
  std::sort(parts.begin(), parts.end());
  do {
    const auto line = accepted("titan://h.test/dir/p" + parts[0] + parts[1] + parts[2]);
    EXPECT_EQ(line.uri.path, "/dir/p");
    EXPECT_EQ(line.upload->size, 3u);
    EXPECT_EQ(line.upload->mime, "text/plain");
    EXPECT_EQ(line.upload->token, "t");
    EXPECT_FALSE(line.upload->edit);
    EXPECT_EQ(line.url, "titan://h.test/dir/p;size=3");  // the token is for no log
  } while (std::next_permutation(parts.begin(), parts.end()));
}

TEST(TitanParameters, StandBeforeTheQuery) {
  const auto line = accepted("titan://h/p;size=3?user=al;size=9");
  EXPECT_EQ(line.uri.path, "/p");
  EXPECT_EQ(line.uri.query, "user=al;size=9");
  EXPECT_EQ(line.upload->size, 3u);
}

TEST(TitanParameters, StandOnTheLastSegment) {
  EXPECT_EQ(accepted("titan://h/a;b/c;size=3").uri.path, "/a;b/c");
  EXPECT_EQ(accepted("titan://h/a;b=1/c;size=3").uri.path, "/a;b=1/c");
  EXPECT_EQ(accepted("titan://h/a;edit/c;size=3").uri.path, "/a;edit/c");
  EXPECT_EQ(accepted("titan://h/p;foo=1;size=3").uri.path, "/p");
  EXPECT_EQ(accepted("titan://h/p;token=a/b+c/d=;size=3").upload->token, "a/b+c/d=");
  EXPECT_EQ(accepted("titan://h/a%3Bsize=9;size=3").upload->size, 3u);
  EXPECT_EQ(accepted("titan://h;size=3").uri.path, "");
}

TEST(TitanParameters, AreDecoded) {
  const auto line =
      accepted("titan://h/p;mime=text%2Fgemini%3Bcharset=utf-8;token=%3B%3D%C3%A9;size=007");
  EXPECT_EQ(line.upload->mime, "text/gemini;charset=utf-8");
  EXPECT_EQ(line.upload->token, ";=\xC3\xA9");
  EXPECT_EQ(line.upload->rawMime, "text%2Fgemini%3Bcharset=utf-8");
  EXPECT_EQ(line.upload->rawToken, "%3B%3D%C3%A9");
  EXPECT_EQ(line.upload->size, 7u);
}

TEST(TitanParameters, UnknownOnesCountForNothing) {
  const auto line = accepted("titan://h/p;mime=text/gemini; charset=utf-8;x;y=1;size=3;");
  EXPECT_EQ(line.upload->mime, "text/gemini");
  EXPECT_EQ(line.upload->size, 3u);
}

TEST(TitanParameters, EditStandsAloneInAnyCase) {
  for (const char* line : {"titan://h/p;edit", "titan://h/p;EDIT", "titan://h/p;edit?q"}) {
    EXPECT_TRUE(accepted(line).upload->edit) << line;
    EXPECT_EQ(accepted(line).uri.path, "/p") << line;
  }
}

TEST(TitanParameters, WithoutAProperSizeAreMalformed) {
  for (const std::string parameters : {"",
                                       ";",
                                       ";mime=text/plain",
                                       ";size",
                                       ";size=",
                                       ";size=-1",
                                       ";size=+3",
                                       ";size=1.5",
                                       ";size=abc",
                                       ";size=0x3",
                                       ";size= 3",
                                       ";size=99999999999999999999",
                                       ";size=1;size=2",
                                       ";SIZE=3",
                                       ";size=3;mime=a/b;mime=a/b",
                                       ";size=3;token=%zz",
                                       ";size=3;token=a#b",
                                       ";size=3;token=\x01",
                                       ";size=3;token=\xff",
                                       ";edit;size=3",
                                       ";size=3;edit",
                                       ";edit=1",
                                       ";edit;x=1"}) {
    const ParseStep step = parse("titan://h/p" + parameters);
    const auto* malformed = std::get_if<Malformed>(&step);
    ASSERT_NE(malformed, nullptr) << parameters;
    EXPECT_FALSE(malformed->text.empty());
    EXPECT_EQ(malformed->line.find(';'), std::string::npos);
  }
}

TEST(TitanParameters, NoLogSeesTheTokenOfAMalformedLine) {
  for (const char* line : {" titan://h/p;size=3;token=secret", "titan://h/p;size=3;token=secret#",
                           "titan://u@h/p;token=secret"}) {
    const ParseStep step = parse(line);
    ASSERT_TRUE(std::holds_alternative<Malformed>(step)) << line;
    EXPECT_EQ(std::get<Malformed>(step).line.find("secret"), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace egalaxyd
