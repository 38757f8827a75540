#include "common/shared/rate_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

class RateTableTest : public testing::Test {
 protected:
  /// Whether one more request of `client` passes.
  bool passes(const IpAddress& client, std::chrono::milliseconds now) {
    return !table_->count(client, kSeed, now, policy_);
  }
  void giveBack(const IpAddress& client, std::chrono::milliseconds now) {
    table_->giveBack(client, kSeed, now, policy_);
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

TEST_F(RateTableTest, DoesNotCountWhatIsGivenBack) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(passes(client(1), 1s));
    giveBack(client(1), 1s);
  }
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 1s)) << i;
  EXPECT_FALSE(passes(client(1), 1s));
}

TEST_F(RateTableTest, APenaltyThatBeganWithWhatIsGivenBackEndsAndTheRateIsUsedUp) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 1s));
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(passes(client(1), 1s));
    giveBack(client(1), 1s);
    EXPECT_EQ(table_->limited(kSeed, 1s, policy_, 9).total, 0u);
  }
  EXPECT_FALSE(passes(client(1), 1s));
  EXPECT_EQ(table_->limited(kSeed, 1s, policy_, 9).total, 1u);
}

TEST_F(RateTableTest, GivingBackDuringAPenaltyNeitherEndsNorProlongsIt) {
  for (int i = 0; i < 5; ++i) passes(client(1), 1s);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(table_->count(client(1), kSeed, 5s, policy_), 6s);
    giveBack(client(1), 5s);
  }
  EXPECT_FALSE(passes(client(1), 10s));
  EXPECT_TRUE(passes(client(1), 12s));
}

TEST_F(RateTableTest, GivingBackWhatWasNeverCountedChangesNothing) {
  giveBack(client(1), 1s);
  passes(client(2), 1s);
  for (int i = 0; i < 3; ++i) giveBack(client(2), 1s);
  for (int c = 1; c <= 2; ++c) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(c), 1s));
    EXPECT_FALSE(passes(client(c), 1s));
  }
}

TEST_F(RateTableTest, ForgetsAfterThePeriod) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 1s));
  EXPECT_TRUE(passes(client(1), 61s));
}

TEST_F(RateTableTest, TellsHowLongToWait) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 1s));
  EXPECT_EQ(table_->count(client(1), kSeed, 1s, policy_), 10s);
}

TEST_F(RateTableTest, NamesThoseWhoAreMadeToWait) {
  for (int i = 0; i < 6; ++i) passes(client(1), 1s);
  for (int i = 0; i < 3; ++i) passes(client(2), 1s);
  const auto limited = table_->limited(kSeed, 2s, policy_, 10);
  EXPECT_EQ(limited.total, 1u);
  ASSERT_EQ(limited.clients.size(), 1u);
  EXPECT_EQ(limited.clients[0].address, client(1));
  EXPECT_EQ(limited.clients[0].remaining, 9s);
  EXPECT_EQ(limited.clients[0].refused, 3u);
  EXPECT_EQ(table_->limited(kSeed, 12s, policy_, 10).total, 0u);
}

TEST_F(RateTableTest, CountsThoseItDoesNotName) {
  for (int c = 1; c <= 5; ++c) {
    for (int i = 0; i < 4; ++i) passes(client(c), 1s);
  }
  const auto limited = table_->limited(kSeed, 1s, policy_, 2);
  EXPECT_EQ(limited.total, 5u);
  EXPECT_EQ(limited.clients.size(), 2u);
}

TEST_F(RateTableTest, NamesNoOneWhereTheAddressDoesNotFit) {
  for (int i = 0; i < 4; ++i) passes(client(1), 1s);
  const auto limited = table_->limited(kSeed + 1, 1s, policy_, 10);
  EXPECT_EQ(limited.total, 1u);
  EXPECT_TRUE(limited.clients.empty());
}

TEST_F(RateTableTest, RemembersNoMoreRefusalsThanItCanHold) {
  for (std::uint32_t i = 0; i < RateTable::kMostRefused + 100; ++i) passes(client(1), 1s);
  EXPECT_EQ(table_->limited(kSeed, 1s, policy_, 1).clients.at(0).refused, RateTable::kMostRefused);
  EXPECT_FALSE(passes(client(1), 1s));
  EXPECT_TRUE(passes(client(1), 12s));
}

TEST_F(RateTableTest, ForgetsOneWhoIsMadeToWait) {
  for (int i = 0; i < 4; ++i) {
    passes(client(1), 1s);
    passes(client(2), 1s);
  }
  EXPECT_FALSE(table_->clear(client(3), kSeed, 1s, policy_));
  EXPECT_TRUE(table_->clear(client(1), kSeed, 1s, policy_));
  EXPECT_FALSE(table_->clear(client(1), kSeed, 1s, policy_)) << "already";
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 1s)) << "its whole allowance";
  EXPECT_FALSE(passes(client(2), 1s));
}

TEST_F(RateTableTest, ForgetsAllWhoAreMadeToWaitAndNoOneElse) {
  for (int c = 1; c <= 5; ++c) {
    for (int i = 0; i < 4; ++i) passes(client(c), 1s);
  }
  for (int i = 0; i < 3; ++i) passes(client(6), 1s);
  EXPECT_EQ(table_->clearAll(1s, policy_), 5u);
  EXPECT_TRUE(passes(client(1), 1s));
  EXPECT_FALSE(passes(client(6), 1s)) << "it had used its allowance";
}

TEST(LimitText, IsAnAddressOrAnIpv6Network) {
  for (const auto& [text, written] :
       {std::pair("192.0.2.1", "192.0.2.1"), std::pair("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        std::pair("2001:db8:1:2::/64", "2001:db8:1:2::/64")}) {
    const auto client = parseLimitText(text);
    ASSERT_TRUE(client) << text;
    EXPECT_EQ(limitText(*client), written);
  }
  for (const char* text : {"", "/64", "192.0.2.1/64", "192.0.2.0/24", "2001:db8::/48", "nobody"}) {
    EXPECT_FALSE(parseLimitText(text)) << text;
  }
}

TEST_F(RateTableTest, RequestsWithinTheRateDoNotStartThePenaltyAnew) {
  for (int i = 0; i < 4; ++i) passes(client(1), 1s);
  EXPECT_EQ(table_->count(client(1), kSeed, 4s, policy_), 7s);
  EXPECT_EQ(table_->count(client(1), kSeed, 10s, policy_), 1s);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(client(1), 11s)) << "its whole allowance";
  EXPECT_FALSE(passes(client(1), 11s));
}

TEST_F(RateTableTest, RequestsBeyondTheRateStartThePenaltyAnew) {
  for (int i = 0; i < 6; ++i) passes(client(1), 1s);
  EXPECT_EQ(table_->count(client(1), kSeed, 10s, policy_), 10s) << "the fourth refused";
  EXPECT_FALSE(passes(client(1), 19s));
  EXPECT_TRUE(passes(client(1), 20s));
}

TEST_F(RateTableTest, APenaltyStartsAnewThreeTimesAtMost) {
  for (int i = 0; i < 4; ++i) passes(client(1), 1s);
  for (const auto now : {10s, 19s, 28s}) {
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(passes(client(1), now));
  }
  EXPECT_EQ(table_->count(client(1), kSeed, 28s, policy_), 10s);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(passes(client(1), 37s));
  EXPECT_TRUE(passes(client(1), 38s));
}

TEST_F(RateTableTest, ALongPenaltyStartsAnewByTheRateOfAllOfIt) {
  policy_.penalty = 600s;
  for (int i = 0; i < 4; ++i) passes(client(1), 1s);
  for (auto now = 50s; now < 600s; now += 50s) EXPECT_FALSE(passes(client(1), now));
  EXPECT_TRUE(passes(client(1), 601s));
}

TEST_F(RateTableTest, CountsOnWhenItsClockHasGoneRound) {
  constexpr auto kRound = std::chrono::milliseconds((std::int64_t{1} << 30) * 100);
  for (int i = 0; i < 4; ++i) passes(client(1), kRound - 1s);
  EXPECT_EQ(table_->count(client(1), kSeed, kRound + 1s, policy_), 8s);
  EXPECT_TRUE(passes(client(1), kRound + 9s));
}

TEST_F(RateTableTest, ARequestOfAMomentAgoIsNoNewPeriod) {
  for (int i = 0; i < 4; ++i) passes(client(1), 2s);
  EXPECT_FALSE(passes(client(1), 1900ms)) << "another worker looked at the clock before";
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
