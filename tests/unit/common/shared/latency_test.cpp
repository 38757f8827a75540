#include "common/shared/latency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;
using std::chrono::nanoseconds;

Latencies of(const std::vector<nanoseconds>& times) {
  LatencyHistogram histogram{};
  for (const nanoseconds time : times) histogram.add(time);
  Latencies latencies;
  latencies.add(histogram);
  return latencies;
}

TEST(Latency, IsEmptyAtFirst) {
  const Latencies none = of({});
  EXPECT_EQ(none.count(), 0u);
  EXPECT_EQ(none.quantile(0.5), 0ns);
  EXPECT_EQ(none.sum(), 0ns);
}

TEST(Latency, GivesEachTimeABucketThatHoldsItWithinAThirtySecond) {
  for (std::int64_t value = 1; value < LatencyBuckets::kLongest.count(); value += 1 + value / 37) {
    const std::size_t index = LatencyBuckets::indexOf(microseconds(value));
    ASSERT_LT(index, LatencyBuckets::kCount);
    const double middle = static_cast<double>(LatencyBuckets::middleOf(index).count()) / 1000;
    // A time is cut to whole microseconds: half of one is what the smallest may be off.
    const double most = std::max(0.5, static_cast<double>(value) / 32);
    ASSERT_LE(std::abs(middle - static_cast<double>(value)), most) << value;
  }
}

TEST(Latency, OrdersBucketsAsTheirTimes) {
  for (std::size_t i = 1; i < LatencyBuckets::kCount; ++i) {
    ASSERT_LT(LatencyBuckets::middleOf(i - 1), LatencyBuckets::middleOf(i));
    ASSERT_EQ(LatencyBuckets::indexOf(LatencyBuckets::middleOf(i)), i);
  }
}

TEST(Latency, TakesWhatIsNegativeOrTooLong) {
  EXPECT_EQ(LatencyBuckets::indexOf(-5s), 0u);
  EXPECT_EQ(LatencyBuckets::indexOf(10h), LatencyBuckets::kCount - 1);
  EXPECT_EQ(LatencyBuckets::indexOf(nanoseconds::max()), LatencyBuckets::kCount - 1);
}

TEST(Latency, FindsPercentilesWithinTheirBound) {
  std::mt19937 random(7);
  std::lognormal_distribution<double> spread(7, 2);
  std::vector<nanoseconds> times;
  for (int i = 0; i < 20'000; ++i) {
    times.push_back(microseconds(1 + static_cast<std::int64_t>(spread(random))));
  }
  const Latencies latencies = of(times);
  std::sort(times.begin(), times.end());
  nanoseconds sum{0};
  for (const nanoseconds time : times) sum += time;
  EXPECT_EQ(latencies.count(), times.size());
  EXPECT_NEAR(static_cast<double>(latencies.sum().count()), static_cast<double>(sum.count()),
              static_cast<double>(sum.count()) / 32);
  for (const double quantile : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank =
        static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(times.size())));
    const auto exact = static_cast<double>(times[rank - 1].count());
    EXPECT_NEAR(static_cast<double>(latencies.quantile(quantile).count()), exact,
                std::max(500.0, exact / 32))
        << quantile;
  }
}

TEST(Latency, PutsARareLongTimeWhereItBelongs) {
  std::vector<nanoseconds> times(99, 1ms);
  times.push_back(10s);
  const Latencies latencies = of(times);
  EXPECT_LT(latencies.quantile(0.99), 1100us);
  EXPECT_GT(latencies.quantile(0.991), 9s);
}

TEST(Latencies, SinceAnEarlierSumAreTheOthers) {
  const Latencies before = of({microseconds(1), microseconds(1000)});
  Latencies now = of({microseconds(1), microseconds(1000), microseconds(5), microseconds(5)});
  const Latencies later = now.since(before);
  EXPECT_EQ(later.count(), 2u);
  EXPECT_LT(later.quantile(1), microseconds(6));
  EXPECT_EQ(before.since(now).count(), 0u) << "counts that went backwards are none";
  now.add(before);
  EXPECT_EQ(now.count(), 6u);
}

}  // namespace
}  // namespace egalaxyd
