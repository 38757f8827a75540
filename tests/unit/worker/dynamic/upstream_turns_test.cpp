#include "worker/dynamic/upstream_turns.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace egalaxyd {
namespace {

using std::chrono::seconds;
using Order = std::vector<std::size_t>;

void refuseThrice(UpstreamTurns& turns, std::size_t upstream, Clock::time_point now) {
  for (int i = 0; i < 3; ++i) turns.refused(upstream, now);
}

TEST(UpstreamTurns, TheyTakeTurns) {
  const auto now = Clock::now();
  UpstreamTurns turns(3, seconds(5));
  EXPECT_EQ(turns.order(now), (Order{0, 1, 2}));
  EXPECT_EQ(turns.order(now), (Order{1, 2, 0}));
  EXPECT_EQ(turns.order(now), (Order{2, 0, 1}));
  EXPECT_EQ(turns.order(now), (Order{0, 1, 2}));
}

TEST(UpstreamTurns, OneThatRefusedThriceInARowIsSetAsideForAWhile) {
  const auto now = Clock::now();
  UpstreamTurns turns(2, seconds(5));
  turns.refused(0, now);
  turns.refused(0, now);
  turns.answered(0);
  turns.refused(0, now);
  EXPECT_FALSE(turns.isAside(0, now));
  refuseThrice(turns, 0, now);
  EXPECT_TRUE(turns.isAside(0, now));
  EXPECT_EQ(turns.order(now), (Order{1}));
  EXPECT_EQ(turns.order(now), (Order{1}));
  EXPECT_EQ(turns.order(now + seconds(5)).size(), 2U);
}

TEST(UpstreamTurns, RequestsThatFailTogetherAreOneFailure) {
  const auto now = Clock::now();
  UpstreamTurns turns(2, seconds(5));
  for (int i = 0; i < 20; ++i) turns.refused(0, now);
  EXPECT_FALSE(turns.isAside(0, now + seconds(5)));
}

TEST(UpstreamTurns, ThePauseDoublesUpToAMinuteAndBeginsAnewAfterAnAnswer) {
  auto now = Clock::now();
  UpstreamTurns turns(2, seconds(5));
  refuseThrice(turns, 0, now);
  for (const int pause : {5, 10, 20, 40, 60, 60}) {
    EXPECT_TRUE(turns.isAside(0, now + seconds(pause) - std::chrono::milliseconds(1))) << pause;
    EXPECT_FALSE(turns.isAside(0, now + seconds(pause))) << pause;
    now += seconds(pause);
    turns.refused(0, now);
  }
  turns.answered(0);
  EXPECT_FALSE(turns.isAside(0, now));
  refuseThrice(turns, 0, now);
  EXPECT_FALSE(turns.isAside(0, now + seconds(5)));
}

TEST(UpstreamTurns, WhereAllAreAsideTheOneThatIsNextToComeBackIsTried) {
  const auto now = Clock::now();
  UpstreamTurns turns(2, seconds(5));
  refuseThrice(turns, 1, now);
  refuseThrice(turns, 0, now + seconds(1));
  EXPECT_EQ(turns.order(now + seconds(2)), (Order{1}));
  EXPECT_EQ(turns.order(now + seconds(2)), (Order{1}));
}

}  // namespace
}  // namespace egalaxyd
