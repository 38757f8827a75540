#include "worker/dynamic/connection_places.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

namespace egalaxyd {
namespace {

using Place = ConnectionPlaces::Place;
using Waiter = ConnectionPlaces::Waiting;

TEST(ConnectionPlaces, AreGivenBackOnce) {
  const auto places = std::make_shared<ConnectionPlaces>(2);
  EXPECT_TRUE(places->isFree());
  Place first(places);
  Place second(places);
  EXPECT_FALSE(places->isFree());
  Place moved(std::move(first));
  EXPECT_FALSE(places->isFree());
  moved = {};
  EXPECT_TRUE(places->isFree());
  moved = std::move(second);
  EXPECT_TRUE(places->isFree());
  const Place third(places);
  EXPECT_FALSE(places->isFree());
}

TEST(ConnectionPlaces, WhoCameFirstIsFirstInTheLine) {
  EventLoop loop;
  Alarm alarm(loop);
  ConnectionPlaces places(0);
  auto first = std::make_unique<Waiter>(places, alarm, 1);
  const Waiter second(places, alarm, 2);
  EXPECT_TRUE(places.someWait());
  EXPECT_TRUE(first->isFirst());
  EXPECT_FALSE(second.isFirst());
  first.reset();
  EXPECT_TRUE(second.isFirst());
}

TEST(ConnectionPlaces, AClientThatWantsManyHoldsUpNoOther) {
  EventLoop loop;
  Alarm alarm(loop);
  ConnectionPlaces places(0);
  auto first = std::make_unique<Waiter>(places, alarm, 7);
  const Waiter second(places, alarm, 7);
  auto other = std::make_unique<Waiter>(places, alarm, 8);
  first->haveTurn();
  first.reset();
  EXPECT_TRUE(other->isFirst());
  EXPECT_FALSE(second.isFirst());
  const Waiter third(places, alarm, 9);
  other.reset();
  EXPECT_TRUE(third.isFirst()) << "it has had no turn yet, 7 has";
}

TEST(ConnectionPlaces, APlaceThatIsGivenBackWakesTheFirstAndThatOneTheNext) {
  EventLoop loop;
  Alarm firstAlarm(loop);
  Alarm secondAlarm(loop);
  const auto places = std::make_shared<ConnectionPlaces>(1);
  std::optional<Place> place(std::in_place, places);
  auto first = std::make_unique<Waiter>(*places, firstAlarm, 1);
  auto second = std::make_unique<Waiter>(*places, secondAlarm, 1);
  int woken = 0;
  const auto wait = [&](Alarm& alarm, int number) -> Task<void> {
    static_cast<void>(co_await alarm.wait());
    woken = woken * 10 + number;
    loop.stop();
  };
  Tasks tasks;
  tasks.start(wait(firstAlarm, 1));
  tasks.start(wait(secondAlarm, 2));
  place.reset();
  loop.run();
  EXPECT_EQ(woken, 1);
  first.reset();  // it left without taking the place
  loop.run();
  EXPECT_EQ(woken, 12);
}

TEST(ConnectionPlaces, WhoComesBeforeTheOneThatWasWokenIsWokenToo) {
  EventLoop loop;
  Alarm oldAlarm(loop);
  Alarm newAlarm(loop);
  const auto places = std::make_shared<ConnectionPlaces>(1);
  auto place = std::make_unique<Place>(places);
  Waiter greedy(*places, oldAlarm, 7);
  greedy.haveTurn();
  place.reset();
  const Waiter newcomer(*places, newAlarm, 8);
  bool woken = false;
  const auto wait = [&]() -> Task<void> {
    static_cast<void>(co_await newAlarm.wait());
    woken = true;
  };
  Tasks tasks;
  tasks.start(wait());
  EXPECT_TRUE(woken && newcomer.isFirst());
}

}  // namespace
}  // namespace egalaxyd
