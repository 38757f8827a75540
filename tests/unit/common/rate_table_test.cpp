#include "common/rate_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

class RateTableTest : public testing::Test {
 protected:
  /// Whether one more request of `client` passes.
  bool passes(const IpAddress& client, std::chrono::milliseconds now) {
    return !table_->count(client, kSeed, now, policy_);
  }
  static IpAddress client(int number) {
    return *IpAddress::parse("2001:db8:" + std::to_string(number / 9999) + ":" +
                             std::to_string(number % 9999) + "::");
  }

  static constexpr std::uint64_t kSeed = 42;
  RatePolicy policy_{.requests = 3, .per = 60s, .penalty = 10s};
  std::unique_ptr<RateTable> table_ = std::make_unique<RateTable>();
};

TEST_F(RateTableTest, LetsTheAllowedNumberPass) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 1s)) << i;
  EXPECT_FALSE(passes(client(1), 1s));
  EXPECT_TRUE(passes(client(2), 1s)) << "another client";
}

TEST_F(RateTableTest, ForgetsAfterThePeriod) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 1s));
  EXPECT_TRUE(passes(client(1), 61s));
}

TEST_F(RateTableTest, TellsHowLongToWait) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 1s));
  EXPECT_EQ(table_->count(client(1), kSeed, 1s, policy_), 10s);
  EXPECT_EQ(table_->penalised(2s, policy_), 1u);
  EXPECT_EQ(table_->penalised(12s, policy_), 0u);
}

TEST_F(RateTableTest, ARequestDuringThePenaltyStartsItAnew) {
  for (int i = 0; i < 4; ++i) passes(client(1), 1s);
  EXPECT_FALSE(passes(client(1), 10s));
  EXPECT_FALSE(passes(client(1), 19s));
  EXPECT_TRUE(passes(client(1), 30s));
  EXPECT_TRUE(passes(client(1), 30s)) << "with its whole allowance";
}

TEST_F(RateTableTest, AnAllowanceOfNothingLetsTheFirstPassOnly) {
  policy_.requests = 1;
  EXPECT_TRUE(passes(client(1), 1s));
  EXPECT_FALSE(passes(client(1), 1s));
}

TEST_F(RateTableTest, AFullTableForgetsTheOldestAndNoOneElse) {
  for (int i = 0; i < 4; ++i) passes(client(1), 1s);
  constexpr int kAttackers = 300'000;  // more than twice the table's places
  for (int i = 2; i < kAttackers; ++i) passes(client(i), 2s);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(kAttackers), 3s));
  EXPECT_FALSE(passes(client(kAttackers), 3s)) << "the newest is remembered";
}

TEST_F(RateTableTest, CountsExactlyWhateverTheNumberOfWorkers) {
  policy_.requests = 1'000;
  std::atomic<int> passed = 0;
  std::vector<std::jthread> workers;
  for (int w = 0; w < 4; ++w) {
    workers.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) {
        if (passes(client(1), 1s)) ++passed;
      }
    });
  }
  workers.clear();
  EXPECT_EQ(passed, 1'000);
}

}  // namespace
}  // namespace egalaxyd
