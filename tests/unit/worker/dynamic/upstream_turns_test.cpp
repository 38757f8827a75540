#include "worker/dynamic/upstream_turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace egalaxyd {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

constexpr auto kRetryAfter = seconds(5);
const Clock::time_point kTurnsBegin = Clock::time_point() + std::chrono::hours(1);

void refuseThrice(UpstreamTurns& turns, std::size_t upstream, Clock::time_point now) {
  for (int i = 0; i < 3; ++i) turns.refused(upstream, now);
}

TEST(UpstreamTurns, EachIsFirstInItsTurn) {
  UpstreamTurns turns(3, kRetryAfter);
  EXPECT_THAT(turns.order(kTurnsBegin), ElementsAre(0, 1, 2));
  EXPECT_THAT(turns.order(kTurnsBegin), ElementsAre(1, 2, 0));
  EXPECT_THAT(turns.order(kTurnsBegin), ElementsAre(2, 0, 1));
  EXPECT_THAT(turns.order(kTurnsBegin), ElementsAre(0, 1, 2));
}

TEST(UpstreamTurns, TheThirdRefusalInARowSetsAside) {
  UpstreamTurns turns(2, kRetryAfter);
  turns.refused(0, kTurnsBegin);
  turns.refused(0, kTurnsBegin);
  EXPECT_FALSE(turns.isAside(0, kTurnsBegin));
  turns.answered(0);
  turns.refused(0, kTurnsBegin);
  turns.refused(0, kTurnsBegin);
  EXPECT_FALSE(turns.isAside(0, kTurnsBegin));
  turns.refused(0, kTurnsBegin);
  EXPECT_TRUE(turns.isAside(0, kTurnsBegin));
  EXPECT_THAT(turns.order(kTurnsBegin), ElementsAre(1));
  EXPECT_THAT(turns.order(kTurnsBegin), ElementsAre(1));
}

TEST(UpstreamTurns, WhoIsSetAsideComesBackAfterAWhileThatDoublesUpToAMinute) {
  UpstreamTurns turns(2, kRetryAfter);
  Clock::time_point now = kTurnsBegin;
  refuseThrice(turns, 0, now);
  for (const auto pause :
       {seconds(5), seconds(10), seconds(20), seconds(40), seconds(60), seconds(60)}) {
    EXPECT_TRUE(turns.isAside(0, now + pause - seconds(1)));
    now += pause;
    EXPECT_FALSE(turns.isAside(0, now));
    turns.refused(0, now);
  }
}

TEST(UpstreamTurns, AnAnswerForgetsAllRefusals) {
  UpstreamTurns turns(2, kRetryAfter);
  refuseThrice(turns, 0, kTurnsBegin);
  turns.answered(0);
  EXPECT_FALSE(turns.isAside(0, kTurnsBegin));
  refuseThrice(turns, 0, kTurnsBegin);
  EXPECT_FALSE(turns.isAside(0, kTurnsBegin + kRetryAfter));
}

TEST(UpstreamTurns, WhereAllAreSetAsideTheFirstToComeBackIsTriedAlone) {
  UpstreamTurns turns(3, kRetryAfter);
  refuseThrice(turns, 1, kTurnsBegin);
  refuseThrice(turns, 0, kTurnsBegin + seconds(1));
  refuseThrice(turns, 2, kTurnsBegin + seconds(2));
  EXPECT_THAT(turns.order(kTurnsBegin + seconds(3)), ElementsAre(1));
}

}  // namespace
}  // namespace egalaxyd
