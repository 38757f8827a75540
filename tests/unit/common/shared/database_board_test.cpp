#include "common/shared/database_board.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/cluster/shared_sight.h"

namespace egalaxyd {
namespace {

TEST(DatabaseBoard, GapsThatTouchAreOne) {
  const auto board = std::make_unique<DatabaseBoard>();
  EXPECT_EQ(board->lastGap().begun, 0);
  board->noteGap(1000, 2000);
  board->noteGap(500, 1500);
  board->noteGap(1900, 2500);
  EXPECT_EQ(board->lastGap().begun, 500);
  EXPECT_EQ(board->lastGap().length.count(), 2000);
  board->noteGap(9000, 9100);
  EXPECT_EQ(board->lastGap().begun, 9000);
  EXPECT_EQ(board->lastGap().length.count(), 100);
}

TEST(DatabaseBoard, KeepsTheBeginningOfALongText) {
  const auto text = std::make_unique<SharedText<4>>();
  EXPECT_EQ(text->get(), "");
  text->set("abcdef");
  EXPECT_EQ(text->get(), "abcd");
  text->set("x");
  EXPECT_EQ(text->get(), "x");
}

TEST(DatabaseBoard, ATimelineOnlyGrows) {
  const auto board = std::make_unique<DatabaseBoard>();
  SharedSight sight(*board);
  sight.sawTimeline(7);
  sight.sawTimeline(3);
  EXPECT_EQ(sight.timeline(), 7u);
  EXPECT_FALSE(sight.regressed());
  sight.regress();
  EXPECT_TRUE(sight.regressed());
  sight.happened(DatabaseEvent::kRegressed);
  EXPECT_EQ(board->events[4].load(), 1u);
}

}  // namespace
}  // namespace egalaxyd
