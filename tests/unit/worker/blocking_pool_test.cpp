#include "worker/blocking_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "tests/unit/worker/site_harness.h"

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
  ASSERT_TRUE(pool.submit([] { return std::this_thread::get_id(); },
                          [&](std::thread::id id) {
                            worker = id;
                            reporter = std::this_thread::get_id();
                          }));
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
  ASSERT_TRUE(pool.submit([value = std::make_unique<int>(7)]() mutable { return std::move(value); },
                          [&, token = std::make_unique<int>(1)](std::unique_ptr<int> value) {
                            got = *value + *token;
                          }));
  runUntilIdle(loop, pool);
  EXPECT_EQ(got, 8);
}

TEST(BlockingPool, RefusesWhatTheQueueCannotHold) {
  EventLoop loop;
  BlockingPool pool(loop, 1, 2);
  SiteHarness::Jam jam(pool);
  int done = 0;
  const auto submit = [&] { return pool.submit([] { return 1; }, [&](int n) { done += n; }); };
  EXPECT_TRUE(submit());
  EXPECT_TRUE(submit());
  EXPECT_FALSE(submit());
  jam.release();
  runUntilIdle(loop, pool);
  EXPECT_EQ(done, 2);
  EXPECT_TRUE(submit());
  runUntilIdle(loop, pool);
  EXPECT_EQ(done, 3);
}

TEST(BlockingPool, RunsJobsInTheOrderOfTheirArrival) {
  EventLoop loop;
  BlockingPool pool(loop, 1, 100);
  std::vector<int> order;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(pool.submit([i] { return i; }, [&](int n) { order.push_back(n); }));
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
      return 0;
    };
    ASSERT_TRUE(pool.submit(untilForgotten, [](int) {}));
    for (int i = 0; i < 8; ++i) {
      ASSERT_TRUE(pool.submit([waiting, &ran] { return ++ran; }, [](int) {}));
    }
  }
  EXPECT_EQ(ran, 0);
}

}  // namespace
}  // namespace egalaxyd
