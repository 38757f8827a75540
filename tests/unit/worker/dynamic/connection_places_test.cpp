#include "worker/dynamic/connection_places.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

namespace egalaxyd {
namespace {

TEST(ConnectionPlaces, ThereAreNoneUntilTheirNumberIsKnown) {
  ConnectionPlaces places;
  EXPECT_FALSE(places.isFree());
  places.limit(1);
  EXPECT_TRUE(places.isFree());
}

TEST(ConnectionPlaces, AreGivenBackOnce) {
  ConnectionPlaces places;
  places.limit(2);
  ConnectionPlaces::Place first(places);
  ConnectionPlaces::Place second(places);
  EXPECT_FALSE(places.isFree());
  ConnectionPlaces::Place moved(std::move(first));
  EXPECT_FALSE(places.isFree());
  moved = {};
  EXPECT_TRUE(places.isFree());
  moved = std::move(second);
  EXPECT_TRUE(places.isFree());
  const ConnectionPlaces::Place third(places);
  EXPECT_FALSE(places.isFree());
}

TEST(ConnectionPlaces, WhoCameFirstIsFirstInTheLine) {
  EventLoop loop;
  Alarm alarm(loop);
  ConnectionPlaces places;
  auto first = std::make_unique<ConnectionPlaces::Waiting>(places, alarm);
  const ConnectionPlaces::Waiting second(places, alarm);
  EXPECT_TRUE(places.someWait());
  EXPECT_TRUE(first->isFirst());
  EXPECT_FALSE(second.isFirst());
  first.reset();
  EXPECT_TRUE(second.isFirst());
}

TEST(ConnectionPlaces, APlaceThatIsGivenBackWakesTheFirstAndThatOneTheNext) {
  EventLoop loop;
  Alarm firstAlarm(loop);
  Alarm secondAlarm(loop);
  ConnectionPlaces places;
  places.limit(1);
  std::optional<ConnectionPlaces::Place> place(std::in_place, places);
  auto first = std::make_unique<ConnectionPlaces::Waiting>(places, firstAlarm);
  auto second = std::make_unique<ConnectionPlaces::Waiting>(places, secondAlarm);
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

}  // namespace
}  // namespace egalaxyd
