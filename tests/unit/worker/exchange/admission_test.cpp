#include "worker/exchange/admission.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

/// A connection that is only a name and a standing.
struct Visitor final : Admission::Holder {
  std::string name;
  Admission::Standing now{.awaited = true};
  Admission::Slot slot;

  Admission::Standing standing(Clock::time_point) override { return now; }
  void admitted() override {}
  void yield() override {}
};

class AdmissionTest : public testing::Test {
 protected:
  void limits(AdmissionLimits limits) { admission_ = std::make_unique<Admission>(limits); }

  /// "a1" comes from the address of "a".
  Visitor& arrive(const std::string& name, bool isCostly = false) {
    visitors_.push_back(std::make_unique<Visitor>());
    visitors_.back()->name = name;
    visitors_.back()->slot = admission_->enqueue(*visitors_.back(), addressOf(name), isCostly);
    return *visitors_.back();
  }
  static IpAddress addressOf(const std::string& name) {
    return *IpAddress::parse("2001:db8:0:" + name.substr(0, 1) + "::" + name.substr(1));
  }
  /// Of `letter`, numbered from 1.
  void crowd(const std::string& letter, int count) {
    for (int i = 1; i <= count; ++i) arrive(letter + std::to_string(i));
  }
  /// All that get a place now, in that order.
  std::vector<Visitor*> admitAll(std::size_t elsewhere = 0) {
    std::vector<Visitor*> admitted;
    while (Admission::Holder* next = admission_->admitNext(elsewhere)) {
      admitted.push_back(static_cast<Visitor*>(next));
    }
    return admitted;
  }
  static std::string names(const std::vector<Visitor*>& visitors) {
    std::string all;
    for (const Visitor* visitor : visitors) all += (all.empty() ? "" : " ") + visitor->name;
    return all;
  }
  /// Everybody gets a place and ends its handshake.
  std::vector<Visitor*> establishAll() {
    std::vector<Visitor*> all;
    while (Admission::Holder* next = admission_->admitNext(0)) {
      all.push_back(static_cast<Visitor*>(next));
      all.back()->slot.established(1ms, now_);
    }
    return all;
  }
  void handshakesTake(Clock::duration time) {
    for (int i = 0; i < 50; ++i) {
      Visitor& visitor = arrive("a1");
      ASSERT_EQ(admission_->admitNext(0), &visitor);
      visitor.slot.established(time, now_);
      visitor.slot = {};
    }
  }
  std::vector<Visitor*> yielding(std::size_t elsewhere = 0) {
    now_ += 1s;
    std::vector<Visitor*> all;
    for (Admission::Holder* member : admission_->yielding(now_, elsewhere)) {
      all.push_back(static_cast<Visitor*>(member));
    }
    return all;
  }
  static std::size_t count(const std::vector<Visitor*>& visitors, char letter) {
    return static_cast<std::size_t>(
        std::count_if(visitors.begin(), visitors.end(),
                      [&](const Visitor* visitor) { return visitor->name[0] == letter; }));
  }

  Clock::time_point now_ = Clock::now();
  std::unique_ptr<Admission> admission_ =
      std::make_unique<Admission>(AdmissionLimits{.handshakes = 16, .own = 8, .all = 80});
  std::vector<std::unique_ptr<Visitor>> visitors_;
};

TEST_F(AdmissionTest, ServesOneAddressInOrderOfArrival) {
  crowd("a", 3);
  EXPECT_EQ(names(admitAll()), "a1 a2 a3");
}

TEST_F(AdmissionTest, AddressesTakeTurns) {
  for (const char* name : {"a1", "a2", "a3", "b1", "b2", "c1"}) arrive(name);
  EXPECT_EQ(names(admitAll()), "a1 b1 a2 c1 b2 a3");
}

TEST_F(AdmissionTest, ACrowdDoesNotDelayTheOneThatHoldsNothing) {
  crowd("a", 100);
  crowd("b", 100);
  admission_->admitNext(0);
  admission_->admitNext(0);
  arrive("c1");
  const auto next = names({static_cast<Visitor*>(admission_->admitNext(0)),
                           static_cast<Visitor*>(admission_->admitNext(0))});
  EXPECT_NE(next.find("c1"), std::string::npos) << next;
}

TEST_F(AdmissionTest, NewcomersDoNotStarveThoseWhoHoldSomething) {
  crowd("a", 2);
  const auto first = admitAll();
  arrive("a3");
  for (const char* letter : {"b", "c", "d", "e", "f"}) crowd(letter, 1);
  const std::string order = names(admitAll());
  EXPECT_LE(order.find("a3"), 3u) << order;
}

TEST_F(AdmissionTest, ACostlyAddressWaitsBehindAllOthers) {
  arrive("a1", true);
  arrive("b1");
  arrive("a2", true);
  arrive("c1");
  arrive("b2");
  EXPECT_EQ(names(admitAll()), "b1 c1 b2 a1 a2");
}

TEST_F(AdmissionTest, AnAddressThatTurnsOutToBeCostlyWaitsFromThenOn) {
  for (const char* name : {"a1", "a2", "a3", "b1", "c1"}) arrive(name);
  EXPECT_EQ(names({static_cast<Visitor*>(admission_->admitNext(0))}), "a1");
  admission_->demote(addressOf("a1"));
  admission_->demote(addressOf("d1"));  // nobody
  EXPECT_EQ(names(admitAll()), "b1 c1 a2 a3");
}

TEST_F(AdmissionTest, AnAddressIsForgivenWithItsNextArrival) {
  arrive("a1", true);
  for (const char* name : {"b1", "b2", "b3", "a2"}) arrive(name);
  EXPECT_LT(names(admitAll()).find("a1"), 7u);
}

TEST_F(AdmissionTest, CostlyAddressesStayWithinTheirShares) {
  for (int i = 1; i <= 50; ++i) arrive("a" + std::to_string(i), true);
  EXPECT_EQ(admitAll().size(), 14u);
}

TEST_F(AdmissionTest, HandshakesOfACostlyAddressYieldSoonerToOthers) {
  for (int i = 1; i <= 14; ++i) arrive("a" + std::to_string(i), true);
  for (Visitor* visitor : admitAll()) visitor->now.behind = 200ms;
  arrive("a15", true);
  EXPECT_EQ(names(yielding()), "") << "not to its like";
  crowd("b", 3);
  EXPECT_EQ(names(admitAll()), "b1");
  EXPECT_EQ(names(yielding()), "a1 a2");
}

TEST_F(AdmissionTest, ACostlyAddressIsNotCutWhilePlacesAreFree) {
  for (int i = 1; i <= 3; ++i) arrive("a" + std::to_string(i), true);
  for (Visitor* visitor : admitAll()) visitor->now.behind = 2s;
  crowd("b", 10);
  crowd("c", 10);
  admitAll();
  ASSERT_LT(admission_->holders(), 16u);
  EXPECT_EQ(names(yielding()), "");
}

TEST_F(AdmissionTest, NoAddressGetsMoreThanAQuarterWhileOthersWait) {
  crowd("a", 50);
  crowd("b", 50);
  const auto admitted = admitAll();
  for (const char letter : {'a', 'b'}) {
    EXPECT_GE(count(admitted, letter), 3u);
    EXPECT_LE(count(admitted, letter), 4u);
  }
}

TEST_F(AdmissionTest, TheMoreAddressesWaitTheLessEachGetsAndPlacesStayFree) {
  limits({.handshakes = 64, .own = 64, .all = 640});
  for (const char* letter : {"1", "2", "3", "4", "5", "6", "7", "8", "9", "a"}) crowd(letter, 50);
  const auto admitted = admitAll();
  for (const char letter : std::string("123456789a")) {
    EXPECT_GE(count(admitted, letter), 4u) << letter;
    EXPECT_LE(count(admitted, letter), 7u) << letter;
  }
  arrive("b1");
  EXPECT_EQ(names(admitAll()), "b1");
}

TEST_F(AdmissionTest, EstablishedPlacesStayFreeForNewcomersToo) {
  limits({.handshakes = 16, .own = 4, .all = 64});
  for (const char* letter : {"1", "2", "3", "4", "5", "6", "7", "8", "9", "a"}) crowd(letter, 50);
  const auto held = establishAll();
  EXPECT_LT(held.size(), 60u);
  arrive("b1");
  EXPECT_EQ(names(establishAll()), "b1");
}

TEST_F(AdmissionTest, AnAddressAloneMayUseAllButWhatIsKeptForNewcomers) {
  crowd("a", 50);
  EXPECT_EQ(admitAll().size(), 14u);
  arrive("b1");
  EXPECT_EQ(names(admitAll()), "b1");
}

TEST_F(AdmissionTest, AFinishedHandshakeMakesRoomForTheNext) {
  crowd("a", 50);
  const auto first = admitAll();
  first[0]->slot.established(1ms, now_);
  EXPECT_EQ(names(admitAll()), "a15");
  EXPECT_EQ(admission_->holders(), 15u);
}

TEST_F(AdmissionTest, TheOthersExchangesCountButNotAgainstTheFirstOfOurs) {
  for (const char* letter : {"1", "2", "3", "4", "5", "6", "7", "8", "9", "a"}) arrive(letter);
  EXPECT_EQ(admitAll(1000).size(), 8u) << "so many are granted to every worker";
  EXPECT_EQ(admitAll(71).size(), 1u);
}

TEST_F(AdmissionTest, WhoLeavesTheQueueIsForgotten) {
  Visitor& first = arrive("a1");
  arrive("a2");
  first.slot = {};
  first.slot = {};
  EXPECT_EQ(admission_->waiting(), 1u);
  EXPECT_EQ(names(admitAll()), "a2");
}

TEST_F(AdmissionTest, NobodyYieldsWhileNobodyWaitsOrThereIsRoom) {
  crowd("a", 14);
  for (Visitor* visitor : admitAll()) visitor->now.behind = 1h;
  EXPECT_EQ(names(yielding()), "");
  arrive("b1");
  EXPECT_EQ(names(yielding()), "");
}

TEST_F(AdmissionTest, HandshakesOfOneAddressYieldToItsOwnAfterThreeSeconds) {
  crowd("a", 14);
  const auto still = admitAll();
  still[3]->now.behind = 3s;
  still[5]->now.behind = 2999ms;
  crowd("a", 4);
  EXPECT_EQ(names(yielding()), "a4");
}

TEST_F(AdmissionTest, HandshakesBeyondAQuarterYieldToOthersAfter200Milliseconds) {
  limits({.handshakes = 8, .own = 8, .all = 80});
  crowd("a", 7);
  for (Visitor* visitor : admitAll()) visitor->now.behind = 250ms;
  arrive("b1");
  arrive("c1");
  crowd("a", 20);
  ASSERT_EQ(names(admitAll()), "b1");
  EXPECT_EQ(names(yielding()), "a1") << "no more than those who have less than their share need";
}

TEST_F(AdmissionTest, HandshakesAreWaitedForAmongEquals) {
  limits({.handshakes = 4, .own = 8, .all = 80});
  for (const char* name : {"b1", "c1", "d1", "e1", "b2"}) arrive(name);
  const auto held = admitAll();
  ASSERT_EQ(held.size(), 4u);
  held[0]->now.behind = 2999ms;
  EXPECT_EQ(names(yielding()), "");
  held[0]->now.behind = 3s;
  EXPECT_EQ(names(yielding()), "b1");
}

TEST_F(AdmissionTest, WhileAddressesWaitThatHaveNoneQuickHandshakesSetTheMeasure) {
  limits({.handshakes = 4, .own = 8, .all = 80});
  handshakesTake(3s);
  handshakesTake(100ms);
  handshakesTake(3s);
  for (const char* letter : {"b", "c", "d", "e"}) crowd(letter, 2);
  const auto held = admitAll();
  ASSERT_EQ(held.size(), 4u);
  for (Visitor* visitor : held) visitor->now.behind = 350ms;
  arrive("1");
  EXPECT_EQ(names(yielding()), "");
  for (Visitor* visitor : held) visitor->now.behind = 450ms;
  EXPECT_EQ(yielding().size(), 1u) << "so many as addresses";
}

TEST_F(AdmissionTest, AnAddressWithSeveralYieldsSoonerToOneWithNone) {
  limits({.handshakes = 4, .own = 8, .all = 80});
  crowd("b", 3);
  ASSERT_EQ(admitAll().size(), 3u);
  arrive("c1");
  for (Visitor* visitor : admitAll()) visitor->now.behind = 1s;
  visitors_[1]->now.behind = 200ms;
  arrive("d1");
  EXPECT_EQ(names(yielding()), "b2");
}

TEST_F(AdmissionTest, WhoIsTwoSecondsLateYieldsWhenEveryPlaceIsTaken) {
  limits({.handshakes = 16, .own = 4, .all = 8});
  for (const char* letter : {"1", "2", "3", "4", "5", "6", "7", "8"}) crowd(letter, 1);
  const auto held = establishAll();
  ASSERT_EQ(held.size(), 8u);
  held[2]->now.behind = 2s;
  held[4]->now.behind = 5s;
  held[5]->now = {.awaited = false, .behind = 1min, .waited = 1min};
  EXPECT_EQ(names(yielding()), "") << "nobody waits";
  arrive("9");
  EXPECT_EQ(names(yielding()), "51");
  arrive("a");
  arrive("b");
  EXPECT_EQ(names(yielding()), "51 31") << "who waits for us is not late";
}

TEST_F(AdmissionTest, AQuarterIsKeptForShortAnswers) {
  limits({.handshakes = 16, .own = 4, .all = 22});
  crowd("a", 50);
  crowd("b", 50);
  auto held = establishAll();
  ASSERT_EQ(held.size(), 8u);
  for (const char letter : std::string("0123456789cdef")) arrive({letter, '1'});
  for (Visitor* visitor : establishAll()) held.push_back(visitor);
  ASSERT_EQ(held.size(), 22u);
  for (Visitor* visitor : held) visitor->now.waited = 1min;
  const auto gone = yielding();
  EXPECT_EQ(gone.size(), 5u) << "17 of 22 stay";
  EXPECT_EQ(count(gone, 'a') + count(gone, 'b'), 5u) << "those who have most: " << names(gone);
}

TEST_F(AdmissionTest, LongTransfersStayWhileTheyAreNotTooMany) {
  limits({.handshakes = 16, .own = 4, .all = 8});
  for (const char* letter : {"1", "2", "3", "4", "5", "6", "7", "8"}) crowd(letter, 1);
  const auto held = establishAll();
  for (std::size_t i = 0; i < 6; ++i) held[i]->now.waited = 1h;
  arrive("9");
  EXPECT_EQ(names(yielding()), "");
  held[6]->now.waited = 2s;
  EXPECT_EQ(yielding().size(), 1u);
}

TEST_F(AdmissionTest, RemembersWhoseAddressIsServed) {
  crowd("a", 20);
  const auto held = admitAll();
  const Visitor& waiting = *visitors_.back();
  EXPECT_EQ(waiting.slot.lastServed(), Clock::time_point());
  held[0]->slot.established(1ms, now_);
  EXPECT_EQ(waiting.slot.lastServed(), now_);
}

TEST(AdmissionSlot, TellsWhenOneThatWasHeldIsGivenBack) {
  int freed = 0;
  Admission admission({.handshakes = 4, .own = 4, .all = 4}, [&] { ++freed; });
  Visitor held;
  Visitor waits;
  held.slot = admission.enqueue(held, IpAddress());
  ASSERT_EQ(admission.admitNext(0), &held);
  waits.slot = admission.enqueue(waits, IpAddress());
  waits.slot = {};
  EXPECT_EQ(freed, 0) << "it was only a place in the queue";
  {
    const Admission::Slot moved = std::move(held.slot);
    EXPECT_FALSE(held.slot);
    EXPECT_EQ(admission.holders(), 1u);
  }
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(admission.holders() + admission.waiting(), 0u);
}

TEST_F(AdmissionTest, WhoIsSetApartMakesRoomAndIsNeverCut) {
  limits({.handshakes = 16, .own = 4, .all = 8});
  for (const char* letter : {"1", "2", "3", "4", "5", "6", "7", "8"}) crowd(letter, 1);
  const auto held = establishAll();
  ASSERT_EQ(held.size(), 8u);
  arrive("9");
  EXPECT_EQ(names(admitAll()), "");
  held[0]->now.behind = 1h;
  held[0]->slot.setApart();
  EXPECT_EQ(names(admitAll()), "9");
  arrive("a");
  EXPECT_EQ(names(yielding()), "");
}

TEST(AdmissionSlot, IsGivenBackOnceWhenItIsSetApart) {
  int freed = 0;
  Admission admission({.handshakes = 4, .own = 4, .all = 4}, [&] { ++freed; });
  Visitor held;
  held.slot = admission.enqueue(held, IpAddress());
  ASSERT_EQ(admission.admitNext(0), &held);
  held.slot.established(1ms, Clock::now());
  held.slot.setApart();
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(admission.holders(), 0u);
  held.slot = {};
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(admission.holders() + admission.waiting(), 0u);
}

}  // namespace
}  // namespace egalaxyd
