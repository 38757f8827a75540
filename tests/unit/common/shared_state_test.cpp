#include "common/shared_state.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

class SharedStateTest : public testing::Test {
 protected:
  void SetUp() override {
    auto created = SharedState::create();
    ASSERT_TRUE(created.ok());
    state_ = std::move(created).value();
  }
  static IpAddress address(const char* text) { return IpAddress::parse(text).value(); }

  std::unique_ptr<SharedState> state_;
};

TEST_F(SharedStateTest, StartsAtZero) {
  EXPECT_EQ(state_->total(Counter::kConnections), 0u);
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 0);
}

TEST_F(SharedStateTest, SumsOverAllWorkers) {
  state_->slot(0).add(Counter::kConnections, 3);
  state_->slot(7).add(Counter::kConnections);
  state_->slot(SharedState::kSlots - 1).add(Counter::kConnections, 5);
  state_->slot(7).add(Gauge::kOpenConnections, 2);
  EXPECT_EQ(state_->total(Counter::kConnections), 9u);
  EXPECT_EQ(state_->total(Counter::kHandshakes), 0u);
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 2);
}

TEST_F(SharedStateTest, KeepsTotalsAndForgetsWhatADeadWorkerHeld) {
  const IpAddress client = address("192.0.2.1");
  state_->slot(1).add(Counter::kConnections, 4);
  state_->slot(1).add(Gauge::kOpenConnections, 4);
  ASSERT_TRUE(state_->takeAddress(1, client, 1));
  state_->workerGone(1);
  EXPECT_EQ(state_->total(Counter::kConnections), 4u);
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 0);
  EXPECT_TRUE(state_->takeAddress(0, client, 1));
}

TEST_F(SharedStateTest, CountsAnswersByProtocolAndStatus) {
  state_->slot(0).addAnswer(Protocol::kGemini, 20);
  state_->slot(3).addAnswer(Protocol::kGemini, 20);
  state_->slot(3).addAnswer(Protocol::kTitan, 59);
  state_->slot(3).addAnswer(Protocol::kSpartan, 2);
  EXPECT_EQ(state_->answers(Protocol::kGemini, 20), 2u);
  EXPECT_EQ(state_->answers(Protocol::kTitan, 59), 1u);
  EXPECT_EQ(state_->answers(Protocol::kSpartan, 2), 1u);
  EXPECT_EQ(state_->answers(Protocol::kTitan, 20), 0u);
}

TEST_F(SharedStateTest, AddsUpTheAnswersOfAllProtocols) {
  state_->slot(0).addAnswer(Protocol::kGemini, 20);
  state_->slot(3).addAnswer(Protocol::kSpartan, 2);
  state_->slot(3).addAnswer(Protocol::kSpartan, 5);
  state_->slot(3).addAnswer(Protocol::kTitan, 59);
  state_->slot(3).addAnswer(Protocol::kGemini, kStatusEnd - 1);
  EXPECT_EQ(state_->total(Counter::kRequests), 5u);
  EXPECT_EQ(state_->slot(3).value(Counter::kRequests), 4u);
  EXPECT_EQ(state_->total(Counter::kStatus1x), 0u);
  EXPECT_EQ(state_->total(Counter::kStatus2x), 2u);
  EXPECT_EQ(state_->total(Counter::kStatus5x), 2u);
  EXPECT_EQ(state_->total(Counter::kStatus6x), 1u);
}

TEST_F(SharedStateTest, SumsLatenciesOverAllWorkersAndKeepsThem) {
  using namespace std::chrono_literals;
  state_->slot(0).addLatency(Protocol::kGemini, Span::kRequest, 5us);
  state_->slot(4).addLatency(Protocol::kGemini, Span::kRequest, 9us);
  state_->workerGone(4);
  const Latencies all = state_->latencies(Protocol::kGemini, Span::kRequest);
  EXPECT_EQ(all.count(), 2u);
  EXPECT_EQ(all.quantile(1), 9'500ns);
  EXPECT_EQ(state_->latencies(Protocol::kGemini, Span::kHandshake).count(), 0u);
  EXPECT_EQ(state_->latencies(Protocol::kTitan, Span::kRequest).count(), 0u);
}

TEST_F(SharedStateTest, LimitsAnAddressOverAllWorkers) {
  const IpAddress client = address("192.0.2.1");
  EXPECT_TRUE(state_->takeAddress(0, client, 2));
  EXPECT_TRUE(state_->takeAddress(5, client, 2));
  EXPECT_FALSE(state_->takeAddress(0, client, 2));
  EXPECT_FALSE(state_->takeAddress(9, client, 2));
  state_->releaseAddress(5, client);
  EXPECT_TRUE(state_->takeAddress(9, client, 2));
}

TEST_F(SharedStateTest, CountsOneAddressApartFromAnother) {
  EXPECT_TRUE(state_->takeAddress(0, address("192.0.2.1"), 1));
  EXPECT_TRUE(state_->takeAddress(0, address("192.0.2.2"), 1));
  EXPECT_FALSE(state_->takeAddress(0, address("192.0.2.1"), 1));
}

TEST_F(SharedStateTest, CountsAnIpv6NetworkAsOneClient) {
  EXPECT_TRUE(state_->takeAddress(0, address("2001:db8:1:2::1"), 1));
  EXPECT_FALSE(state_->takeAddress(0, address("2001:db8:1:2:ffff::9"), 1));
  EXPECT_TRUE(state_->takeAddress(0, address("2001:db8:1:3::1"), 1));
}

TEST_F(SharedStateTest, NeverRefusesWithoutALimit) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(state_->takeAddress(0, address("192.0.2.1"), 0));
  }
}

TEST_F(SharedStateTest, ReturnsToZeroWhenAllIsReleased) {
  for (int i = 0; i < 200; ++i) {
    const IpAddress client = address(("198.51.100." + std::to_string(i)).c_str());
    ASSERT_TRUE(state_->takeAddress(3, client, 0));
    state_->releaseAddress(3, client);
  }
  for (const auto& row : state_->slot(3).addresses.rows) {
    for (const auto& bucket : row) ASSERT_EQ(bucket.load(), 0);
  }
}

}  // namespace
}  // namespace egalaxyd
