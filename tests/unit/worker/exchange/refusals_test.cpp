#include "worker/exchange/refusals.h"

#include <gtest/gtest.h>

#include <string>

namespace egalaxyd {
namespace {

IpAddress client(std::size_t number) {
  return *IpAddress::parse("2001:db8:0:" + std::to_string(number) + "::7");
}

class RefusalsTest : public testing::Test {
 protected:
  Refusals refusals_{AddressMask::kFull};
};

TEST_F(RefusalsTest, OnlyTheFirstOfAnAddressIsLoggedInASecond) {
  EXPECT_TRUE(refusals_.mayLog(client(1)));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(refusals_.mayLog(client(1)));
  EXPECT_FALSE(refusals_.mayLog(*IpAddress::parse("2001:db8:0:1::8"))) << "the same /64";
  EXPECT_TRUE(refusals_.mayLog(client(2)));
  refusals_.tell();
  EXPECT_TRUE(refusals_.mayLog(client(1)));
}

TEST_F(RefusalsTest, ManyAddressesGetNoMoreLinesThanThereIsRoomFor) {
  std::size_t lines = 0;
  for (std::size_t i = 0; i < 9000; ++i) lines += refusals_.mayLog(client(i));
  EXPECT_EQ(lines, Refusals::kMostAddresses);
}

TEST_F(RefusalsTest, AFloodIsAnsweredSometimesAndThenNoMore) {
  for (std::uint32_t i = 0; i < Refusals::kMostAnswers; ++i) {
    EXPECT_TRUE(refusals_.mayAnswer(client(1))) << i;
  }
  EXPECT_FALSE(refusals_.mayAnswer(client(1)));
  EXPECT_TRUE(refusals_.mayAnswer(client(2)));
  refusals_.tell();
  EXPECT_TRUE(refusals_.mayAnswer(client(1)));
}

TEST_F(RefusalsTest, AnAddressWithoutRoomIsAnswered) {
  for (std::size_t i = 0; i < Refusals::kMostAddresses; ++i) refusals_.mayAnswer(client(i));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(refusals_.mayAnswer(client(5000)));
}

TEST_F(RefusalsTest, AWrongTokenIsTheLastOneLookedAtInASecond) {
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(refusals_.mayTryToken(client(1))) << "none was wrong";
  refusals_.tokenWasWrong(client(1));
  EXPECT_FALSE(refusals_.mayTryToken(client(1)));
  EXPECT_TRUE(refusals_.mayTryToken(client(2)));
  refusals_.tell();
  EXPECT_TRUE(refusals_.mayTryToken(client(1)));
}

TEST_F(RefusalsTest, NoTokenIsLookedAtOfAnAddressWithoutRoom) {
  for (std::size_t i = 0; i < Refusals::kMostAddresses; ++i) refusals_.mayAnswer(client(i));
  EXPECT_FALSE(refusals_.mayTryToken(client(5000)));
}

}  // namespace
}  // namespace egalaxyd
