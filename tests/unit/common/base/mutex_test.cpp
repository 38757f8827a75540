#include "common/base/mutex.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace egalaxyd {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""min;

/// A number that threads change and wait for.
class Number {
 public:
  /// Adds two, one at a time; others may take the mutex in between.
  void addTwice() {
    MutexLock lock(mutex_);
    ++value_;
    changed_.notifyAll();
    lock.unlock();
    lock.lock();
    ++value_;
    changed_.notifyOne();
  }
  int waitFor(int least) {
    const MutexLock lock(mutex_);
    changed_.wait(mutex_, [&]() EGALAXYD_REQUIRES(mutex_) { return value_ >= least; });
    return value_;
  }
  int waitByHandFor(int least) {
    const MutexLock lock(mutex_);
    while (value_ < least) changed_.wait(mutex_);
    return value_;
  }
  bool reachesWithin(std::chrono::steady_clock::duration time, int least) {
    const MutexLock lock(mutex_);
    return changed_.waitFor(mutex_, time,
                            [&]() EGALAXYD_REQUIRES(mutex_) { return value_ >= least; });
  }
  void waitUntil(std::chrono::steady_clock::time_point time) {
    const MutexLock lock(mutex_);
    while (std::chrono::steady_clock::now() < time) changed_.waitUntil(mutex_, time);
  }

 private:
  Mutex mutex_;
  Condition changed_;
  int value_ EGALAXYD_GUARDED_BY(mutex_) = 0;
};

TEST(Mutex, IsHeldByOneThreadAtATime) {
  Number number;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&number] {
        for (int turn = 0; turn < 500; ++turn) number.addTwice();
      });
    }
  }
  EXPECT_EQ(number.waitFor(0), 4000);
}

TEST(Mutex, IsFreeWhileAThreadWaitsForACondition) {
  Number number;
  const std::jthread later([&number] { number.addTwice(); });
  EXPECT_EQ(number.waitByHandFor(2), 2);
  EXPECT_EQ(number.waitFor(2), 2);
  EXPECT_TRUE(number.reachesWithin(1min, 2));
}

TEST(Mutex, IsHeldAgainAfterAWaitThatRanOutOfTime) {
  Number number;
  EXPECT_FALSE(number.reachesWithin(1ms, 1));
  const auto time = std::chrono::steady_clock::now() + 1ms;
  number.waitUntil(time);
  EXPECT_GE(std::chrono::steady_clock::now(), time);
  number.addTwice();
  EXPECT_TRUE(number.reachesWithin(1min, 2));
}

}  // namespace
}  // namespace egalaxyd
