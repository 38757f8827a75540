#include "worker/admission.h"

#include <gtest/gtest.h>

#include <memory>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

/// Connections that are only names here: none is ever started.
class AdmissionTest : public testing::Test, public ConnectionKeeper {
 protected:
  Connection& arrive(std::uint32_t index) {
    connections_.push_back(std::make_unique<Connection>(*this, loop_, Connection::Id{index, 0},
                                                        UniqueFd(), ListenerKind::kGemini,
                                                        IpAddress(), false));
    return *connections_.back();
  }

  const ExchangeContext& exchangeContext() const override { std::abort(); }
  std::unique_ptr<Transport> makeTransport(ListenerKind, UniqueFd) override { return nullptr; }
  bool takeAddress(const IpAddress&) override { return true; }
  void wantsSlot(Connection&) override {}
  void established(Connection&) override {}
  void moved(Connection&) override {}
  void gaveSlotBack(Connection&) override {}
  void closed(Connection&) override {}
  void failed(Connection&, std::string_view) override {}
  Responder makeResponder(Connection&) override { std::abort(); }

  /// Admits the next in line, which is `connection`.
  void admit(Connection& connection) {
    admission_.enqueue(connection.id());
    EXPECT_EQ(admission_.takeNext().index, connection.id().index);
    admission_.hold(connection);
  }

  Clock::time_point after(Clock::duration time) const { return loop_.now() + time; }

  EventLoop loop_;
  Admission admission_{{.handshakes = 2, .own = 1, .all = 4}};
  std::vector<std::unique_ptr<Connection>> connections_;
};

TEST_F(AdmissionTest, GivesPlacesInOrderOfArrival) {
  for (std::uint32_t i = 0; i < 3; ++i) admission_.enqueue(arrive(i).id());
  EXPECT_TRUE(admission_.canAdmit(0));
  EXPECT_EQ(admission_.takeNext().index, 0u);
  admission_.hold(*connections_[0]);
  EXPECT_EQ(admission_.takeNext().index, 1u);
  admission_.hold(*connections_[1]);
  EXPECT_FALSE(admission_.canAdmit(0)) << "two are in their handshake";
  admission_.release(*connections_[0]);
  ASSERT_TRUE(admission_.canAdmit(0));
  EXPECT_EQ(admission_.takeNext().index, 2u);
  EXPECT_FALSE(admission_.canAdmit(0)) << "no one waits";
}

TEST_F(AdmissionTest, AFinishedHandshakeMakesRoomForTheNext) {
  admit(arrive(0));
  admit(arrive(1));
  admission_.enqueue(arrive(2).id());
  EXPECT_FALSE(admission_.canAdmit(0));
  admission_.establish(*connections_[0], after(1ms));
  EXPECT_TRUE(admission_.canAdmit(0));
  EXPECT_EQ(admission_.holders(), 2u);
}

TEST_F(AdmissionTest, TheOthersExchangesCountButNotAgainstTheFirstOfOurs) {
  admission_.enqueue(arrive(0).id());
  EXPECT_TRUE(admission_.canAdmit(100)) << "one is granted to every worker";
  admission_.takeNext();
  admission_.hold(*connections_[0]);
  admission_.enqueue(arrive(1).id());
  EXPECT_TRUE(admission_.canAdmit(2));
  EXPECT_FALSE(admission_.canAdmit(3));
}

TEST_F(AdmissionTest, TheOneThatStoodStillLongestYieldsWhenOthersWait) {
  admit(arrive(0));
  admit(arrive(1));
  admission_.moved(*connections_[0]);
  EXPECT_EQ(admission_.yields(after(2s), 0, 0), nullptr) << "no one waits";
  admission_.enqueue({2, 0});
  EXPECT_EQ(admission_.yields(after(2s), 0, 0), connections_[1].get());
  EXPECT_EQ(admission_.yields(after(500ms), 0, 0), nullptr) << "none has stood still for long";
  EXPECT_EQ(admission_.yields(after(2s), 0, 1), nullptr) << "room for the only one was made";
}

TEST_F(AdmissionTest, AnEstablishedOneYieldsOnlyWhenEveryPlaceIsTaken) {
  for (std::uint32_t i = 0; i < 3; ++i) {
    admit(arrive(i));
    admission_.establish(*connections_[i], after(1ms));
  }
  admission_.enqueue({3, 0});
  EXPECT_EQ(admission_.yields(after(1min), 0, 0), nullptr) << "there is a place";
  EXPECT_EQ(admission_.yields(after(1s), 1, 0), nullptr) << "none has stood still for long";
  EXPECT_EQ(admission_.yields(after(1min), 1, 0), connections_[0].get());
}

TEST_F(AdmissionTest, HandshakesAreWaitedForLongerWhenAllOfThemTakeLong) {
  for (std::uint32_t i = 0; i < 50; ++i) {
    admit(arrive(i));
    admission_.establish(*connections_[i], after(3s));
    admission_.release(*connections_[i]);
  }
  admit(arrive(50));
  admit(arrive(51));
  admission_.enqueue({52, 0});
  EXPECT_EQ(admission_.yields(after(10s), 0, 0), nullptr);
  EXPECT_EQ(admission_.yields(after(12s), 0, 0), connections_[50].get());
}

TEST_F(AdmissionTest, AReleasedHolderIsForgotten) {
  for (std::uint32_t i = 0; i < 3; ++i) admit(arrive(i));
  admission_.enqueue({3, 0});
  admission_.release(*connections_[1]);
  admission_.release(*connections_[0]);
  EXPECT_EQ(admission_.holders(), 1u);
  admission_.hold(*connections_[0]);
  admission_.hold(*connections_[1]);
  EXPECT_EQ(admission_.yields(after(3s), 0, 0), connections_[2].get());
}

}  // namespace
}  // namespace egalaxyd
