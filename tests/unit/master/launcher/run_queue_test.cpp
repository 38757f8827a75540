#include "master/launcher/run_queue.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using Verdict = RunQueue::Verdict;

class RunQueueTest : public testing::Test {
 protected:
  Verdict add(std::uint64_t run, std::uint32_t mount = 1, std::uint32_t most = 2) {
    return queue_.add(run, mount, most, now_);
  }

  RunQueue queue_{{.processes = 3, .queue = 2, .patience = 10s}};
  RunQueue::Time now_{};
};

TEST_F(RunQueueTest, GivesPlacesUntilTheMountHasNoMore) {
  EXPECT_EQ(add(1), Verdict::kStart);
  EXPECT_EQ(add(2), Verdict::kStart);
  EXPECT_EQ(add(3), Verdict::kWait);
  EXPECT_EQ(queue_.next(), std::nullopt);
  EXPECT_EQ(queue_.running(), 2U);
}

TEST_F(RunQueueTest, AFullMountHoldsUpNoOtherOne) {
  add(1);
  add(2);
  add(3);
  EXPECT_EQ(add(4, /*mount=*/2), Verdict::kStart);
  EXPECT_EQ(add(5, /*mount=*/3), Verdict::kWait) << "the server has no more places";
  queue_.giveBack(2);
  EXPECT_EQ(queue_.next(), 5U) << "not 3, which came first: its mount is full";
  EXPECT_EQ(queue_.next(), std::nullopt);
}

TEST_F(RunQueueTest, ServesWhoWaitsInTheirOrder) {
  add(1);
  add(2);
  add(3);
  add(4);
  queue_.giveBack(1);
  EXPECT_EQ(queue_.next(), 3U);
  EXPECT_EQ(queue_.next(), std::nullopt);
  queue_.giveBack(1);
  EXPECT_EQ(queue_.next(), 4U);
}

TEST_F(RunQueueTest, RefusesWhenTooManyWait) {
  for (const std::uint64_t run : {1U, 2U, 3U, 4U}) add(run);
  EXPECT_EQ(add(5), Verdict::kFull);
  EXPECT_EQ(add(6, /*mount=*/2), Verdict::kStart) << "that one need not wait";
  queue_.forget(3);
  EXPECT_EQ(add(7), Verdict::kWait);
}

TEST_F(RunQueueTest, NamesThoseWhosePatienceIsOver) {
  add(1);
  add(2);
  EXPECT_EQ(queue_.nextLate(), std::nullopt);
  add(3);
  now_ += 1s;
  add(4);
  EXPECT_EQ(queue_.nextLate(), RunQueue::Time() + 10s);
  EXPECT_TRUE(queue_.late(RunQueue::Time() + 9s).empty());
  EXPECT_EQ(queue_.late(RunQueue::Time() + 10s), std::vector<std::uint64_t>{3});
  EXPECT_EQ(queue_.waiting(), 1U);
  queue_.giveBack(1);
  EXPECT_EQ(queue_.next(), 4U);
}

}  // namespace
}  // namespace egalaxyd
