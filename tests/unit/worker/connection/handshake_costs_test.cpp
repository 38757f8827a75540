#include "worker/connection/handshake_costs.h"

#include <gtest/gtest.h>

#include <string>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

IpAddress address(const std::string& text) { return IpAddress::parse(text).value(); }

class HandshakeCostsTest : public testing::Test {
 protected:
  void charge(const std::string& client, Clock::duration cpu) {
    costs_.charge(address(client), cpu, now_);
  }
  bool isCostly(const std::string& client) const { return costs_.isCostly(address(client), now_); }

  Clock::time_point now_{1h};
  HandshakeCosts costs_{42};
};

TEST_F(HandshakeCostsTest, NobodyIsCostlyAtFirst) { EXPECT_FALSE(isCostly("192.0.2.1")); }

TEST_F(HandshakeCostsTest, OneDearHandshakeMakesItsAddressCostlyAndNoOther) {
  charge("192.0.2.1", 191ms);
  EXPECT_TRUE(isCostly("192.0.2.1"));
  EXPECT_FALSE(isCostly("192.0.2.2"));
}

TEST_F(HandshakeCostsTest, DearOnesAddUp) {
  for (int i = 0; i < 20; ++i) charge("192.0.2.1", 3ms);
  EXPECT_FALSE(isCostly("192.0.2.1"));
  charge("192.0.2.1", 3ms);
  EXPECT_TRUE(isCostly("192.0.2.1"));
}

TEST_F(HandshakeCostsTest, ACrowdOfUsualOnesIsNeverCostly) {
  for (int i = 0; i < 100'000; ++i) charge("192.0.2.1", i % 10 == 0 ? 2ms : 300us);
  EXPECT_FALSE(isCostly("192.0.2.1"));
}

TEST_F(HandshakeCostsTest, DebtsAreForgivenAtOnePercent) {
  charge("192.0.2.1", 42ms);
  now_ += 1999ms;
  EXPECT_TRUE(isCostly("192.0.2.1"));
  now_ += 1ms;
  EXPECT_FALSE(isCostly("192.0.2.1"));
}

TEST_F(HandshakeCostsTest, TheLargestDebtIsForgivenWithinAMinute) {
  for (int i = 0; i < 1000; ++i) charge("192.0.2.1", 13s);
  EXPECT_TRUE(isCostly("192.0.2.1"));
  now_ += 1min;
  EXPECT_FALSE(isCostly("192.0.2.1"));
}

TEST_F(HandshakeCostsTest, CountsIPv6ByNetwork) {
  charge("2001:db8:0:1::1", 191ms);
  EXPECT_TRUE(isCostly("2001:db8:0:1:ffff::2"));
  EXPECT_FALSE(isCostly("2001:db8:0:2::1"));
}

TEST_F(HandshakeCostsTest, ACrowdOfCheapAddressesHidesNoCostlyOne) {
  charge("192.0.2.1", 100ms);
  for (int i = 0; i < 65'536; ++i) {
    charge("10.1." + std::to_string(i / 256) + "." + std::to_string(i % 256), 4ms);
  }
  EXPECT_TRUE(isCostly("192.0.2.1"));
}

TEST_F(HandshakeCostsTest, ACostlyAddressFindsAPlaceAmongCheapOnes) {
  for (int i = 0; i < 65'536; ++i) {
    charge("10.1." + std::to_string(i / 256) + "." + std::to_string(i % 256), 4ms);
  }
  charge("192.0.2.1", 100ms);
  EXPECT_TRUE(isCostly("192.0.2.1"));
}

TEST_F(HandshakeCostsTest, ForgottenDebtsMakePlace) {
  for (int i = 0; i < 65'536; ++i) {
    charge("10.1." + std::to_string(i / 256) + "." + std::to_string(i % 256), 1s);
  }
  now_ += 1min;
  charge("192.0.2.1", 30ms);
  EXPECT_TRUE(isCostly("192.0.2.1"));
}

}  // namespace
}  // namespace egalaxyd
