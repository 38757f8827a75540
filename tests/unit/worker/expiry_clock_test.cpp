#include "worker/expiry_clock.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using std::chrono::days;

const WallTime kNow = WallTime(std::chrono::seconds(1'800'000'000));
const Clock::time_point kSteady = Clock::time_point(1000h);

class ExpiryClockTest : public testing::Test {
 protected:
  /// `ahead`: by how much the wall clock differs from the time that passes.
  std::optional<WallTime> lookAfter(std::chrono::hours passed, std::chrono::seconds ahead = 0s) {
    return expiry_.look(kNow + passed + ahead, kSteady + passed);
  }

  ExpiryClock expiry_;
};

TEST_F(ExpiryClockTest, NothingGoesBeforeAVisitIsKnown) {
  EXPECT_FALSE(expiry_.hasBegun());
  EXPECT_EQ(lookAfter(1h), std::nullopt);
}

TEST_F(ExpiryClockTest, GoesOnFromTheNewestVisit) {
  expiry_.begin(kNow, kNow, kSteady);
  EXPECT_EQ(lookAfter(1h), kNow + 1h);
  EXPECT_EQ(lookAfter(2h), kNow + 2h);
}

TEST_F(ExpiryClockTest, AClockThatIsAheadFromTheStartCountsForNothing) {
  expiry_.begin(kNow, kNow + days(100), kSteady);
  EXPECT_EQ(lookAfter(1h, days(100)), kNow + 1h);
  EXPECT_EQ(lookAfter(24h, days(100)), kNow + 24h);
}

TEST_F(ExpiryClockTest, AStepForwardCountsForNothing) {
  expiry_.begin(kNow, kNow, kSteady);
  EXPECT_EQ(lookAfter(1h, days(100)), std::nullopt);
  EXPECT_EQ(lookAfter(2h, days(100)), kNow + 2h);
  EXPECT_EQ(lookAfter(3h), std::nullopt) << "and back";
  EXPECT_EQ(lookAfter(4h), kNow + 4h);
}

TEST_F(ExpiryClockTest, AClockThatIsBehindIsBelieved) {
  expiry_.begin(kNow, kNow - days(10), kSteady);
  EXPECT_EQ(lookAfter(1h, -days(10)), kNow - days(10) + 1h);
  EXPECT_EQ(lookAfter(2h, -days(20)), std::nullopt);
  EXPECT_EQ(lookAfter(3h, -days(20)), kNow - days(20) + 3h);
}

TEST_F(ExpiryClockTest, VisitsOfTheFutureCountAsOfNow) {
  expiry_.begin(kNow + days(1000), kNow, kSteady);
  EXPECT_EQ(lookAfter(1h), kNow + 1h);
}

TEST_F(ExpiryClockTest, SlewingIsNoStep) {
  expiry_.begin(kNow, kNow, kSteady);
  EXPECT_EQ(lookAfter(1h, 2s), kNow + 1h);
  EXPECT_EQ(lookAfter(2h, -2s), kNow + 2h - 2s);
}

}  // namespace
}  // namespace egalaxyd
