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
  void moved(Connection&) override {}
  void gaveSlotBack(Connection&) override {}
  void closed(Connection&) override {}
  Responder makeResponder(Connection&) override { std::abort(); }

  EventLoop loop_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

TEST_F(AdmissionTest, GivesSlotsInOrderOfArrival) {
  Admission admission(2);
  for (std::uint32_t i = 0; i < 3; ++i) admission.enqueue(arrive(i).id());
  EXPECT_TRUE(admission.canAdmit());
  EXPECT_EQ(admission.takeNext().index, 0u);
  admission.hold(*connections_[0]);
  EXPECT_EQ(admission.takeNext().index, 1u);
  admission.hold(*connections_[1]);
  EXPECT_FALSE(admission.canAdmit());
  admission.release(*connections_[0]);
  ASSERT_TRUE(admission.canAdmit());
  EXPECT_EQ(admission.takeNext().index, 2u);
}

TEST_F(AdmissionTest, TheOneThatStoodStillLongestYieldsWhenOthersWait) {
  Admission admission(2);
  admission.hold(arrive(0));
  admission.hold(arrive(1));
  admission.moved(*connections_[0]);
  const auto later = loop_.now() + 3s;
  EXPECT_EQ(admission.yields(later, 2s), nullptr) << "no one waits";
  admission.enqueue({2, 0});
  EXPECT_EQ(admission.yields(later, 2s), connections_[1].get());
  EXPECT_EQ(admission.yields(later, 4s), nullptr) << "none has stood still so long";
}

TEST_F(AdmissionTest, AReleasedHolderIsForgotten) {
  Admission admission(3);
  for (std::uint32_t i = 0; i < 3; ++i) admission.hold(arrive(i));
  admission.enqueue({3, 0});
  admission.release(*connections_[1]);
  admission.release(*connections_[0]);
  EXPECT_EQ(admission.holders(), 1u);
  admission.hold(*connections_[0]);
  admission.hold(*connections_[1]);
  EXPECT_EQ(admission.yields(loop_.now() + 3s, 2s), connections_[2].get());
}

}  // namespace
}  // namespace egalaxyd
