#include "worker/metadata_expiry.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using std::chrono::days;

constexpr auto kTtl = days(90);
const WallTime kNow = WallTime(std::chrono::seconds(1'800'000'000));
const Clock::time_point kSteady = Clock::time_point(1000h);

class MetadataExpiryTest : public testing::Test {
 protected:
  /// `ahead`: by how much the wall clock differs from the time that passes.
  std::optional<WallTime> lookAfter(std::chrono::hours passed, std::chrono::seconds ahead = 0s) {
    return expiry_.look(kNow + passed + ahead, kSteady + passed);
  }

  MetadataExpiry expiry_{kTtl};
};

TEST_F(MetadataExpiryTest, NothingGoesBeforeAVisitIsKnown) {
  EXPECT_FALSE(expiry_.hasBegun());
  EXPECT_EQ(lookAfter(1h), std::nullopt);
}

TEST_F(MetadataExpiryTest, ForgetsWhoHasNotComeForTheTtl) {
  expiry_.begin(kNow, kNow, kSteady);
  EXPECT_EQ(lookAfter(1h), kNow + 1h - kTtl);
  EXPECT_EQ(lookAfter(2h), kNow + 2h - kTtl);
}

TEST_F(MetadataExpiryTest, AClockThatIsAheadFromTheStartCountsForNothing) {
  expiry_.begin(kNow, kNow + days(100), kSteady);
  EXPECT_EQ(lookAfter(1h, days(100)), kNow + 1h - kTtl);
  EXPECT_EQ(lookAfter(24h, days(100)), kNow + 24h - kTtl);
}

TEST_F(MetadataExpiryTest, AStepForwardCountsForNothing) {
  expiry_.begin(kNow, kNow, kSteady);
  EXPECT_EQ(lookAfter(1h, days(100)), std::nullopt);
  EXPECT_EQ(lookAfter(2h, days(100)), kNow + 2h - kTtl);
  EXPECT_EQ(lookAfter(3h), std::nullopt) << "and back";
  EXPECT_EQ(lookAfter(4h), kNow + 4h - kTtl);
}

TEST_F(MetadataExpiryTest, AClockThatIsBehindDeletesLess) {
  expiry_.begin(kNow, kNow - days(10), kSteady);
  EXPECT_EQ(lookAfter(1h, -days(10)), kNow - days(10) + 1h - kTtl);
  EXPECT_EQ(lookAfter(2h, -days(20)), std::nullopt);
  EXPECT_EQ(lookAfter(3h, -days(20)), kNow - days(20) + 3h - kTtl);
}

TEST_F(MetadataExpiryTest, VisitsOfTheFutureCountAsOfNow) {
  expiry_.begin(kNow + days(1000), kNow, kSteady);
  EXPECT_EQ(lookAfter(1h), kNow + 1h - kTtl);
}

TEST_F(MetadataExpiryTest, SlewingIsNoStep) {
  expiry_.begin(kNow, kNow, kSteady);
  EXPECT_EQ(lookAfter(1h, 2s), kNow + 1h - kTtl);
  EXPECT_EQ(lookAfter(2h, -2s), kNow + 2h - 2s - kTtl);
}

}  // namespace
}  // namespace egalaxyd
