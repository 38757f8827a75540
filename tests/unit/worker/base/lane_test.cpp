#include "worker/base/lane.h"

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

void runUntilIdle(EventLoop& loop, const Lane& lane) {
  while (lane.pending() > 0) {
    loop.post([&] { loop.stop(); });
    loop.run();
  }
}

TEST(Lane, WorksElsewhereAndReportsOnTheLoop) {
  EventLoop loop;
  Lane lane(loop, {"test", 2, 4});
  std::thread::id worker;
  std::thread::id reporter;
  lane.submit([] { return Result<std::thread::id>(std::this_thread::get_id()); },
              [&](Result<std::thread::id> id) {
                worker = *id;
                reporter = std::this_thread::get_id();
              });
  EXPECT_EQ(lane.pending(), 1u);
  runUntilIdle(loop, lane);
  EXPECT_NE(worker, std::this_thread::get_id());
  EXPECT_NE(worker, std::thread::id());
  EXPECT_EQ(reporter, std::this_thread::get_id());
}

TEST(Lane, HandsOverWhatCanOnlyBeMoved) {
  EventLoop loop;
  Lane lane(loop, {"test", 1, 4});
  int got = 0;
  using Number = Result<std::unique_ptr<int>>;
  lane.submit([value = std::make_unique<int>(7)]() mutable { return Number(std::move(value)); },
              [&, token = std::make_unique<int>(1)](Number value) { got = **value + *token; });
  runUntilIdle(loop, lane);
  EXPECT_EQ(got, 8);
}

TEST(Lane, AnswersBusyWhenTheQueueIsFull) {
  EventLoop loop;
  Lane lane(loop, {"test", 1, 2});
  SiteHarness::Jam jam(lane);
  int done = 0;
  int busy = 0;
  ErrorCode code{};
  const auto submit = [&] {
    lane.submit([] { return Result<int>(1); },
                [&](Result<int> n) {
                  n ? ++done : ++busy;
                  code = n ? code : n.error().code;
                });
  };
  for (int i = 0; i < 3; ++i) submit();
  EXPECT_EQ(busy, 0) << "the answer comes on the loop";
  jam.release();
  runUntilIdle(loop, lane);
  EXPECT_EQ(done, 2);
  EXPECT_EQ(busy, 1);
  EXPECT_EQ(code, ErrorCode::kBusy);
  submit();
  runUntilIdle(loop, lane);
  EXPECT_EQ(done, 3);
}

TEST(Lane, AnswersWithWhatIsThrown) {
  EventLoop loop;
  Lane lane(loop, {"test", 1, 4});
  std::vector<std::string> said;
  const auto note = [&](Result<int> result) { said.push_back(result.error().message); };
  lane.submit([]() -> Result<int> { throw std::runtime_error("stumbled"); }, note);
  lane.submit([]() -> Result<int> { throw 7; }, note);
  runUntilIdle(loop, lane);
  ASSERT_EQ(said.size(), 2u);
  EXPECT_EQ(said[0], "a job: stumbled");
}

TEST(Lane, RunsJobsInTheOrderOfTheirArrival) {
  EventLoop loop;
  Lane lane(loop, {"test", 1, 100});
  std::vector<int> order;
  for (int i = 0; i < 50; ++i) {
    lane.submit([i] { return Result<int>(i); }, [&](Result<int> n) { order.push_back(*n); });
  }
  runUntilIdle(loop, lane);
  ASSERT_EQ(order.size(), 50u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Lane, ATaskAwaitsItsJob) {
  EventLoop loop;
  Tasks tasks;
  Lane lane(loop, {"test", 1, 4});
  std::thread::id worked;
  const auto ask = [&]() -> Task<void> {
    const auto work = [] { return Result<std::thread::id>(std::this_thread::get_id()); };
    worked = *co_await lane.run(work);
  };
  tasks.start(ask());
  runUntilIdle(loop, lane);
  EXPECT_NE(worked, std::thread::id());
  EXPECT_NE(worked, std::this_thread::get_id());
}

TEST(Lane, DoesNotBeginWhatNobodyWaitsForAnyMore) {
  EventLoop loop;
  Tasks tasks;
  Lane lane(loop, {"test", 1, 4});
  SiteHarness::Jam jam(lane);
  std::atomic<int> ran = 0;
  std::optional<Result<int>> answer;
  const auto ask = [&]() -> Task<void> {
    const auto work = [&] { return Result<int>(++ran); };
    answer = co_await lane.run(work);
  };
  const auto cancellation = std::make_shared<Cancellation>();
  tasks.start(ask(), cancellation);
  cancellation->request();
  jam.release();
  runUntilIdle(loop, lane);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(*answer);
  EXPECT_EQ(ran, 0);
}

TEST(Lane, ForgetsWhatHasNotBegunWhenItGoes) {
  EventLoop loop;
  std::atomic<int> ran = 0;
  {
    Lane lane(loop, {"test", 1, 9});
    auto waiting = std::make_shared<int>(0);
    // Ends when the jobs behind it have been forgotten.
    const auto untilForgotten = [jobs = std::weak_ptr(waiting)] {
      while (!jobs.expired()) std::this_thread::yield();
      return Result<int>(0);
    };
    lane.submit(untilForgotten, [](Result<int>) {});
    for (int i = 0; i < 8; ++i) {
      lane.submit([waiting, &ran] { return Result<int>(++ran); }, [](Result<int>) {});
    }
  }
  EXPECT_EQ(ran, 0);
}

}  // namespace
}  // namespace egalaxyd
