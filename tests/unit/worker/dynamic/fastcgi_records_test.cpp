#include "worker/dynamic/fastcgi_records.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

/// A record as an application sends it.
std::string record(int type, std::string_view content, std::size_t padding = 0, int id = 1) {
  std::string bytes = {1,
                       static_cast<char>(type),
                       static_cast<char>(id >> 8),
                       static_cast<char>(id),
                       static_cast<char>(content.size() >> 8),
                       static_cast<char>(content.size()),
                       static_cast<char>(padding),
                       0};
  return bytes.append(content).append(padding, '#');
}

std::string endRequest(char protocolStatus = 0, char exitCode = 0) {
  return record(3, std::string{0, 0, 0, exitCode, protocolStatus, 0, 0, 0});
}

struct FastcgiAnswer {
  std::string out;
  std::string error;
  std::vector<FastcgiEnd> ends;
  std::vector<int> skipped;
  std::string fault;
  bool idle = true;
};

/// What is read of `sent`, in pieces of `size` bytes.
FastcgiAnswer decode(std::string_view sent, std::size_t size = std::string_view::npos) {
  FastcgiDecoder decoder;
  FastcgiAnswer answer;
  while (!sent.empty() && answer.fault.empty()) {
    std::string_view piece = sent.substr(0, size);
    sent.remove_prefix(piece.size());
    for (;;) {
      const FastcgiStep step = decoder.next(piece);
      if (const auto* out = std::get_if<FastcgiStdout>(&step)) answer.out += out->bytes;
      if (const auto* error = std::get_if<FastcgiStderr>(&step)) answer.error += error->bytes;
      if (const auto* end = std::get_if<FastcgiEnd>(&step)) answer.ends.push_back(*end);
      if (const auto* skipped = std::get_if<FastcgiSkipped>(&step)) {
        answer.skipped.push_back(skipped->type);
      }
      if (const auto* fault = std::get_if<FastcgiFault>(&step)) answer.fault = fault->text;
      const bool needsMore = std::holds_alternative<NeedMore>(step);
      EXPECT_TRUE(!needsMore || piece.empty());
      if (needsMore || !answer.fault.empty()) break;
    }
  }
  answer.idle = decoder.idle();
  return answer;
}

TEST(FastcgiRecords, BeginARespondersRequest) {
  EXPECT_EQ(fastcgiBegin(false), "\1\1\0\1\0\x08\0\0\0\1\0\0\0\0\0\0"sv);
  EXPECT_EQ(fastcgiBegin(true), "\1\1\0\1\0\x08\0\0\0\1\1\0\0\0\0\0"sv);
}

TEST(FastcgiRecords, TellVariablesInOneStream) {
  EXPECT_EQ(fastcgiParams({}), "\1\4\0\1\0\0\0\0"sv);
  const std::vector<NamedValue> two = {{"A", "bc"}, {"PATH_INFO", ""}};
  EXPECT_EQ(fastcgiParams(two),
            "\1\4\0\1\0\x10\0\0\1\2"
            "Abc\x09\0PATH_INFO\1\4\0\1\0\0\0\0"sv);
}

TEST(FastcgiRecords, TellLongValuesWithFourBytesOfLength) {
  const std::string value127(127, 'v');
  const std::string value128(128, 'v');
  EXPECT_EQ(fastcgiParams(std::vector<NamedValue>{{"A", value127}}),
            "\1\4\0\1\0\x82\0\0\1\x7F"
            "A"s +
                value127 + "\1\4\0\1\0\0\0\0"s);
  EXPECT_EQ(fastcgiParams(std::vector<NamedValue>{{"A", value128}}),
            "\1\4\0\1\0\x86\0\0\1\x80\0\0\x80"
            "A"s +
                value128 + "\1\4\0\1\0\0\0\0"s);
}

TEST(FastcgiRecords, SplitTheVariablesWhereARecordEnds) {
  const std::string value(70'000, 'v');
  const std::string sent = fastcgiParams(std::vector<NamedValue>{{"A", value}});
  EXPECT_EQ(sent.size(), 70'006u + 3 * 8);
  EXPECT_EQ(sent.substr(0, 8), "\1\4\0\1\xFF\xFF\0\0"sv);
  EXPECT_EQ(sent.substr(8 + 65'535, 6), "\1\4\0\1\x11\x77"sv);
}

TEST(FastcgiRecords, BringTheBodyInPieces) {
  EXPECT_EQ(fastcgiStdin(""), "\1\5\0\1\0\0\0\0"sv);
  EXPECT_EQ(fastcgiStdin("body"), "\1\5\0\1\0\4\0\0body"sv);
  const std::string sent = fastcgiStdin(std::string(16 * 1024 + 1, 'b'));
  EXPECT_EQ(sent.size(), 16u * 1024 + 1 + 2 * 8);
  EXPECT_EQ(sent.substr(0, 8), "\1\5\0\1\x40\0\0\0"sv);
  EXPECT_EQ(sent.substr(8 + 16 * 1024), "\1\5\0\1\0\1\0\0b"sv);
}

TEST(FastcgiDecoder, ReadsAnAnswerHoweverItIsSplit) {
  const std::string sent = record(6, "20 text/plain\r\n", 1) + record(7, "oops\n", 3) +
                           record(6, "body") + record(6, "") + record(7, "", 255) +
                           endRequest(0, 3);
  for (std::size_t size = 1; size <= sent.size(); ++size) {
    const FastcgiAnswer answer = decode(sent, size);
    EXPECT_EQ(answer.out, "20 text/plain\r\nbody") << size;
    EXPECT_EQ(answer.error, "oops\n") << size;
    EXPECT_EQ(answer.fault, "") << size;
    ASSERT_EQ(answer.ends.size(), 1u) << size;
    EXPECT_EQ(answer.ends[0].exitCode, 3u) << size;
    EXPECT_EQ(answer.ends[0].protocolStatus, 0) << size;
    EXPECT_TRUE(answer.idle) << size;
  }
}

TEST(FastcgiDecoder, ReadsLargestRecordsWithPadding) {
  std::string sent;
  std::string expected;
  for (char c = 'a'; c <= 'e'; ++c) {
    const std::string content(65'535, c);
    sent += record(6, content, 255);
    expected += content;
  }
  EXPECT_EQ(decode(sent).out, expected);
  EXPECT_EQ(decode(sent, 1000).out, expected);
}

TEST(FastcgiDecoder, ReadsTheNextAnswerOfAKeptConnection) {
  const FastcgiAnswer answer =
      decode(record(6, "a") + endRequest() + record(6, "b") + endRequest());
  EXPECT_EQ(answer.out, "ab");
  EXPECT_EQ(answer.ends.size(), 2u);
}

TEST(FastcgiDecoder, EndsWhenThePaddingHasCome) {
  const std::string body(8, '\0');
  EXPECT_TRUE(decode(record(3, body, 7).substr(0, 8 + 8 + 6)).ends.empty());
  EXPECT_EQ(decode(record(3, body, 7)).ends.size(), 1u);
  EXPECT_EQ(decode(record(3, body + "more", 7)).ends.size(), 1u);
}

TEST(FastcgiDecoder, SkipsRecordsThatAreNotForUs) {
  const FastcgiAnswer answer =
      decode(record(11, "\x0C\0\0\0\0\0\0\0"sv, 2, 0) + record(99, "x", 0, 7) + record(6, "body"));
  EXPECT_EQ(answer.out, "body");
  EXPECT_EQ(answer.skipped, (std::vector<int>{11, 99}));
  EXPECT_EQ(answer.fault, "");
}

TEST(FastcgiDecoder, RefusesWhatIsNoFastcgi) {
  EXPECT_EQ(decode("HTTP/1.1 200 OK\r\n").fault, "a record of version 72");
  EXPECT_EQ(decode("\2\6\0\1\0\0\0\0"sv).fault, "a record of version 2");
  EXPECT_EQ(decode(record(6, "x", 0, 2)).fault, "a record of request 2, which was not made");
  EXPECT_EQ(decode(record(3, "x", 0, 258)).fault, "a record of request 258, which was not made");
  EXPECT_EQ(decode(record(3, "1234567")).fault, "an END_REQUEST too short");
  EXPECT_EQ(decode(record(6, "body") + "garbage!").out, "body");
  EXPECT_NE(decode(record(6, "body") + "garbage!").fault, "");
}

TEST(FastcgiDecoder, KnowsWhatTheApplicationRefused) {
  const auto refusal = [](char status) { return refusalOf(decode(endRequest(status)).ends.at(0)); };
  EXPECT_EQ(refusal(0), std::nullopt);
  EXPECT_EQ(refusal(1), Status::kCgiError);
  EXPECT_EQ(refusal(2), Status::kServerUnavailable);
  EXPECT_EQ(refusal(3), Status::kCgiError);
  EXPECT_EQ(refusal(77), Status::kCgiError);
}

TEST(FastcgiDecoder, IsIdleBetweenRecordsOnly) {
  EXPECT_TRUE(decode(record(6, "body")).idle);
  EXPECT_FALSE(decode(record(6, "body").substr(0, 5)).idle);
  EXPECT_FALSE(decode(record(6, "body").substr(0, 10)).idle);
}

}  // namespace
}  // namespace egalaxyd
