#include "worker/base/blocking_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

void runUntilIdle(EventLoop& loop, const BlockingPool& pool) {
  while (pool.pending() > 0) {
    loop.post([&] { loop.stop(); });
    loop.run();
  }
}

TEST(BlockingPool, WorksElsewhereAndReportsOnTheLoop) {
  EventLoop loop;
  BlockingPool pool(loop, 2, 4);
  std::thread::id worker;
  std::thread::id reporter;
  pool.submit([] { return Result<std::thread::id>(std::this_thread::get_id()); },
              [&](Result<std::thread::id> id) {
                worker = *id;
                reporter = std::this_thread::get_id();
              });
  EXPECT_EQ(pool.pending(), 1u);
  runUntilIdle(loop, pool);
  EXPECT_NE(worker, std::this_thread::get_id());
  EXPECT_NE(worker, std::thread::id());
  EXPECT_EQ(reporter, std::this_thread::get_id());
}

TEST(BlockingPool, RunsWhatNobodyWaitsFor) {
  EventLoop loop;
  BlockingPool pool(loop, 1, 4);
  std::promise<std::thread::id> ran;
  ASSERT_TRUE(pool.run([&] { ran.set_value(std::this_thread::get_id()); }));
  EXPECT_EQ(pool.pending(), 0u);
  EXPECT_NE(ran.get_future().get(), std::this_thread::get_id());
}

TEST(BlockingPool, HandsOverWhatCanOnlyBeMoved) {
  EventLoop loop;
  BlockingPool pool(loop, 1, 4);
  int got = 0;
  using Number = Result<std::unique_ptr<int>>;
  pool.submit([value = std::make_unique<int>(7)]() mutable { return Number(std::move(value)); },
              [&, token = std::make_unique<int>(1)](Number value) { got = **value + *token; });
  runUntilIdle(loop, pool);
  EXPECT_EQ(got, 8);
}

TEST(BlockingPool, AnswersBusyWhenTheQueueIsFull) {
  EventLoop loop;
  BlockingPool pool(loop, 1, 2);
  SiteHarness::Jam jam(pool);
  int done = 0;
  int busy = 0;
  ErrorCode code{};
  const auto submit = [&] {
    pool.submit([] { return Result<int>(1); },
                [&](Result<int> n) {
                  n ? ++done : ++busy;
                  code = n ? code : n.error().code;
                });
  };
  for (int i = 0; i < 3; ++i) submit();
  EXPECT_EQ(busy, 0) << "the answer comes on the loop";
  jam.release();
  runUntilIdle(loop, pool);
  EXPECT_EQ(done, 2);
  EXPECT_EQ(busy, 1);
  EXPECT_EQ(code, ErrorCode::kBusy);
  submit();
  runUntilIdle(loop, pool);
  EXPECT_EQ(done, 3);
}

TEST(BlockingPool, AnswersWithWhatIsThrown) {
  EventLoop loop;
  BlockingPool pool(loop, 1, 4);
  std::vector<std::string> said;
  const auto note = [&](Result<int> result) { said.push_back(result.error().message); };
  pool.submit([]() -> Result<int> { throw std::runtime_error("stumbled"); }, note);
  pool.submit([]() -> Result<int> { throw 7; }, note);
  runUntilIdle(loop, pool);
  ASSERT_EQ(said.size(), 2u);
  EXPECT_EQ(said[0], "stumbled");
}

TEST(BlockingPool, RunsJobsInTheOrderOfTheirArrival) {
  EventLoop loop;
  BlockingPool pool(loop, 1, 100);
  std::vector<int> order;
  for (int i = 0; i < 50; ++i) {
    pool.submit([i] { return Result<int>(i); }, [&](Result<int> n) { order.push_back(*n); });
  }
  runUntilIdle(loop, pool);
  ASSERT_EQ(order.size(), 50u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(BlockingPool, ForgetsWhatHasNotBegunWhenItGoes) {
  EventLoop loop;
  std::atomic<int> ran = 0;
  {
    BlockingPool pool(loop, 1, 9);
    auto waiting = std::make_shared<int>(0);
    // Ends when the jobs behind it have been forgotten.
    const auto untilForgotten = [jobs = std::weak_ptr(waiting)] {
      while (!jobs.expired()) std::this_thread::yield();
      return Result<int>(0);
    };
    pool.submit(untilForgotten, [](Result<int>) {});
    for (int i = 0; i < 8; ++i) {
      pool.submit([waiting, &ran] { return Result<int>(++ran); }, [](Result<int>) {});
    }
  }
  EXPECT_EQ(ran, 0);
}

}  // namespace
}  // namespace egalaxyd
