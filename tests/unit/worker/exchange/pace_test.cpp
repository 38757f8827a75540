#include "worker/exchange/pace.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

class PaceTest : public testing::Test {
 protected:
  PaceTest() { pace_.begin(100, 10s); }

  Clock::time_point at(Clock::duration time) const { return start_ + time; }

  const Clock::time_point start_ = Clock::now();
  Pace pace_;
};

TEST_F(PaceTest, OnlyWaitingMakesLate) {
  pace_.rest(at(5s));
  EXPECT_EQ(pace_.behind(at(7s)), 0s);
  pace_.await(at(7s));
  EXPECT_EQ(pace_.behind(at(9s)), 2s);
  pace_.rest(at(9s));
  EXPECT_EQ(pace_.behind(at(99s)), 2s);
  EXPECT_EQ(pace_.waited(at(99s)), 2s);
}

TEST_F(PaceTest, BytesMakeUpForTimeAndAreNoCredit) {
  pace_.await(at(0s));
  pace_.moved(100, at(3s));
  EXPECT_EQ(pace_.behind(at(3s)), 2s);
  pace_.moved(1000, at(3s));
  EXPECT_EQ(pace_.behind(at(3s)), 0s);
  EXPECT_EQ(pace_.behind(at(4s)), 1s);
  EXPECT_EQ(pace_.waited(at(4s)), 4s);
}

TEST_F(PaceTest, ADripIsLaterAndLater) {
  pace_.await(at(0s));
  for (int second = 1; second <= 20; ++second) pace_.moved(1, at(second * 1s));
  EXPECT_GE(pace_.behind(at(20s)), 19s);
}

TEST_F(PaceTest, LooksAtTheRateOverEachWindow) {
  pace_.await(at(0s));
  EXPECT_EQ(pace_.windowEnd(), at(10s));
  pace_.moved(1000, at(9s));
  EXPECT_FALSE(pace_.tooSlow(at(9s))) << "the window is not over";
  EXPECT_FALSE(pace_.tooSlow(at(10s)));
  EXPECT_EQ(pace_.windowEnd(), at(20s));
  pace_.moved(999, at(15s));
  EXPECT_TRUE(pace_.tooSlow(at(20s)));
}

TEST_F(PaceTest, AWindowIsTimeInWhichTheClientWasWaitedFor) {
  pace_.await(at(0s));
  pace_.rest(at(4s));
  EXPECT_EQ(pace_.windowEnd(), std::nullopt);
  pace_.await(at(100s));
  EXPECT_EQ(pace_.windowEnd(), at(106s));
  EXPECT_FALSE(pace_.tooSlow(at(105s)));
  EXPECT_TRUE(pace_.tooSlow(at(106s)));
}

TEST_F(PaceTest, WithoutARateNothingIsTooSlow) {
  pace_.begin(std::nullopt, 10s);
  pace_.await(at(0s));
  EXPECT_EQ(pace_.windowEnd(), std::nullopt);
  EXPECT_FALSE(pace_.tooSlow(at(60s)));
  pace_.moved(1'000'000, at(60s));
  EXPECT_EQ(pace_.behind(at(60s)), 60s) << "yet it keeps us waiting";
}

}  // namespace
}  // namespace egalaxyd
