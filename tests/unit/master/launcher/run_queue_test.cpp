#include "master/launcher/run_queue.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using Verdict = RunQueue::Verdict;

class RunQueueTest : public testing::Test {
 protected:
  Verdict add(std::uint64_t run, std::uint32_t mount = 1, std::uint32_t most = 2) {
    return queue_.add(run, {1, 1}, mount, most, now_);
  }
  /// In a queue of one place, which run 1 has.
  void addOf(RunQueue& queue, std::uint64_t run, RunQueue::Asker asker) const {
    EXPECT_EQ(queue.add(run, asker, 1, 1, now_), run == 1 ? Verdict::kStart : Verdict::kWait);
  }
  /// Those that wait, as they would start one after the other.
  static std::vector<std::uint64_t> order(RunQueue& queue) {
    std::vector<std::uint64_t> runs;
    for (queue.giveBack(1); const auto run = queue.next(); queue.giveBack(1)) runs.push_back(*run);
    return runs;
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

TEST_F(RunQueueTest, AClientThatWantsManyHoldsUpNoOther) {
  RunQueue queue({.processes = 1, .queue = 99, .patience = 10s});
  const RunQueue::Asker greedy{1, 7};
  for (std::uint64_t run = 1; run <= 50; ++run) addOf(queue, run, greedy);
  addOf(queue, 51, {1, 8});
  addOf(queue, 52, {1, 9});
  addOf(queue, 53, {1, 8});
  const auto runs = order(queue);
  ASSERT_EQ(runs.size(), 52U);
  EXPECT_EQ((std::vector<std::uint64_t>(runs.begin(), runs.begin() + 6)),
            (std::vector<std::uint64_t>{2, 51, 52, 3, 53, 4}));
}

TEST_F(RunQueueTest, WhoComesLaterIsServedBeforeTheNextOfOneThatHadItsTurn) {
  RunQueue queue({.processes = 1, .queue = 99, .patience = 10s});
  for (std::uint64_t run = 1; run <= 4; ++run) addOf(queue, run, {1, 7});
  queue.giveBack(1);
  EXPECT_EQ(queue.next(), 2U);
  addOf(queue, 5, {1, 8});
  EXPECT_EQ(order(queue), (std::vector<std::uint64_t>{5, 3, 4}));
}

TEST_F(RunQueueTest, AWorkerThatInventsClientsTakesNoMoreTurnsThanOthers) {
  RunQueue queue({.processes = 1, .queue = 99, .patience = 10s});
  for (std::uint64_t run = 1; run <= 5; ++run) addOf(queue, run, {1, 100 + run});
  for (std::uint64_t run = 6; run <= 8; ++run) addOf(queue, run, {2, 101});
  EXPECT_EQ(order(queue), (std::vector<std::uint64_t>{2, 6, 3, 7, 4, 8, 5}));
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
