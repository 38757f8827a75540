#include "worker/upload/file_turns.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace egalaxyd {
namespace {

class FileTurnsTest : public testing::Test {
 protected:
  /// Whoever still waits is told before what it would touch goes.
  ~FileTurnsTest() override { turns_.close(); }

  /// Takes a turn when it comes, and notes who has come.
  std::optional<FileTurns::Turn>& takes(const std::string& file, int who) {
    auto& turn = turns_taken_.emplace_back();
    turns_.take(file).then([&turn, who, this](Result<FileTurns::Turn> given) {
      (given ? came_ : refused_).push_back(who);
      if (given) turn.emplace(std::move(*given));
    });
    return turn;
  }

  FileTurns turns_;
  std::deque<std::optional<FileTurns::Turn>> turns_taken_;
  std::vector<int> came_;
  std::vector<int> refused_;
};

TEST_F(FileTurnsTest, UploadsOfOneFileComeInTheirOrder) {
  auto& first = takes("a", 1);
  auto& second = takes("a", 2);
  takes("a", 3);
  EXPECT_EQ(came_, std::vector{1});
  first.reset();
  EXPECT_EQ(came_, (std::vector{1, 2}));
  second.reset();
  EXPECT_EQ(came_, (std::vector{1, 2, 3}));
}

TEST_F(FileTurnsTest, UploadsOfOtherFilesDoNotWait) {
  takes("a", 1);
  takes("b", 2);
  EXPECT_EQ(came_, (std::vector{1, 2}));
}

TEST_F(FileTurnsTest, AFileIsFreeAgainAfterTheLast) {
  takes("a", 1).reset();
  takes("a", 2);
  EXPECT_EQ(came_, (std::vector{1, 2}));
}

TEST_F(FileTurnsTest, ATurnThatIsMovedEndsOnce) {
  auto& first = takes("a", 1);
  takes("a", 2);
  takes("a", 3);
  {
    FileTurns::Turn moved = std::move(*first);
    first.reset();
    EXPECT_EQ(came_, std::vector{1});
  }
  EXPECT_EQ(came_, (std::vector{1, 2}));
}

TEST_F(FileTurnsTest, WhoWaitsIsToldWhenTheWorkerLeaves) {
  auto& first = takes("a", 1);
  takes("a", 2);
  turns_.close();
  EXPECT_EQ(refused_, std::vector{2});
  takes("b", 3);
  EXPECT_EQ(refused_, (std::vector{2, 3}));
  first.reset();
  EXPECT_EQ(came_, std::vector{1});
}

}  // namespace
}  // namespace egalaxyd
