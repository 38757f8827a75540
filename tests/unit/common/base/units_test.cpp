#include "common/base/units.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;

TEST(Duration, ReadsAWholeNumberAndItsUnit) {
  const struct {
    std::string_view text;
    std::int64_t expected;
  } cases[] = {{"250ms", 250},    {"30s", 30'000},     {"5m", 300'000},
               {"2h", 7'200'000}, {"7d", 604'800'000}, {"0s", 0},
               {"0ms", 0},        {"007s", 7'000},     {"36500d", 3'153'600'000'000}};
  for (const auto& c : cases) {
    EXPECT_EQ(parseDuration(c.text), milliseconds(c.expected)) << c.text;
  }
}

TEST(Duration, RefusesEverythingElse) {
  for (const std::string_view text :
       {"", "s", "30", "30 s", " 30s", "30s ", "-1s", "+1s", "1.5s", "30S", "30sec", "1h30m", "1w",
        "off", "36501d", "99999999999999999999s", "18446744073709551615d"}) {
    EXPECT_EQ(parseDuration(text), std::nullopt) << text;
  }
}

TEST(Duration, IsWrittenInTheLargestUnitThatDividesIt) {
  const struct {
    std::int64_t value;
    std::string_view expected;
  } cases[] = {{0, "0s"},       {1, "1ms"},        {1'500, "1500ms"},  {60'000, "1m"},
               {90'000, "90s"}, {3'600'000, "1h"}, {86'400'000, "1d"}, {7'776'000'000, "90d"}};
  for (const auto& c : cases) {
    EXPECT_EQ(durationText(milliseconds(c.value)), c.expected);
    EXPECT_EQ(parseDuration(c.expected), milliseconds(c.value)) << c.expected;
  }
}

TEST(Size, ReadsBytesAndBinaryUnits) {
  const struct {
    std::string_view text;
    std::uint64_t expected;
  } cases[] = {{"512B", 512},
               {"512", 512},
               {"64KiB", 65'536},
               {"10MiB", 10'485'760},
               {"1GiB", 1ULL << 30},
               {"0", 0},
               {"0B", 0},
               {"9223372036854775807", 9'223'372'036'854'775'807ULL}};
  for (const auto& c : cases) EXPECT_EQ(parseSize(c.text), c.expected) << c.text;
}

TEST(Size, RefusesEverythingElse) {
  for (const std::string_view text :
       {"", "B", "KiB", "64 KiB", "64K", "64KB", "64kib", "1.5MiB", "-1", "+1", "1TiB", "0x10",
        "9223372036854775808", "9007199254740992KiB", "8589934592GiB"}) {
    EXPECT_EQ(parseSize(text), std::nullopt) << text;
  }
}

TEST(Size, IsWrittenInTheLargestUnitThatDividesIt) {
  const struct {
    std::uint64_t value;
    std::string_view expected;
  } cases[] = {{0, "0B"},        {1'000, "1000B"},      {1'024, "1KiB"},
               {1'536, "1536B"}, {10'485'760, "10MiB"}, {1ULL << 40, "1024GiB"}};
  for (const auto& c : cases) {
    EXPECT_EQ(sizeText(c.value), c.expected);
    EXPECT_EQ(parseSize(c.expected), c.value) << c.expected;
  }
}

TEST(Time, ReadsWhatRfc3339Allows) {
  const struct {
    std::string_view text;
    std::int64_t expected;
  } cases[] = {{"1970-01-01", 0},
               {"2026-01-31", 1'769'817'600},
               {"2026-01-31T08:00:00Z", 1'769'846'400},
               {"2026-01-31t08:00:00z", 1'769'846'400},
               {"2026-01-31 08:00:00Z", 1'769'846'400},
               {"2026-01-31T09:30:00.25+01:30", 1'769'846'400},
               {"2026-01-30T22:00:00-10:00", 1'769'846'400},
               {"2024-02-29", 1'709'164'800},
               {"2016-12-31T23:59:60Z", 1'483'228'800}};
  for (const auto& c : cases) {
    const auto time = parseTime(c.text);
    ASSERT_TRUE(time) << c.text;
    EXPECT_EQ(time->time_since_epoch().count(), c.expected) << c.text;
  }
}

TEST(Time, RefusesEverythingElse) {
  for (const std::string_view text : {"",
                                      "now",
                                      "2026",
                                      "2026-1-31",
                                      "2026-13-01",
                                      "2026-02-29",
                                      "2026-00-10",
                                      "1969-12-31",
                                      "26-01-31",
                                      "2026-01-31T",
                                      "2026-01-31Z",
                                      "2026-01-31T08:00Z",
                                      "2026-01-31T08:00:00",
                                      "2026-01-31T24:00:00Z",
                                      "2026-01-31T08:60:00Z",
                                      "2026-01-31T08:00:61Z",
                                      "2026-01-31T08:00:00.Z",
                                      "2026-01-31T08:00:00+1:00",
                                      "2026-01-31T08:00:00+0100",
                                      "2026-01-31T08:00:00Z ",
                                      " 2026-01-31",
                                      "2026-01-31T08:00:00ZZ",
                                      "2026-01-31T08:00:00."}) {
    EXPECT_EQ(parseTime(text), std::nullopt) << text;
  }
}

TEST(Number, IsTakenWholeAndWithinItsBounds) {
  EXPECT_EQ(parseNumber("0", 0, 9), 0);
  EXPECT_EQ(parseNumber("9", 0, 9), 9);
  EXPECT_EQ(parseNumber("-3", -5, 5), -3);
  for (const char* text :
       {"", " 1", "1 ", "+1", "1x", "0x1", "10", "-1", "-0", "-", "99999999999999999999"}) {
    EXPECT_EQ(parseNumber(text, 0, 9), std::nullopt) << text;
  }
}

TEST(Time, IsWrittenAsItIsRead) {
  for (const std::string_view text : {"1970-01-01T00:00:00Z", "2026-01-31T23:59:58Z"}) {
    EXPECT_EQ(timeText(*parseTime(text)), text);
  }
}

}  // namespace
}  // namespace egalaxyd
