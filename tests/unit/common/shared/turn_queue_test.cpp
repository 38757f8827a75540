#include "common/shared/turn_queue.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

constexpr auto kAtOnce = 0ms;
constexpr auto kLong = 20s;

class TurnQueueTest : public testing::Test {
 protected:
  TurnQueueTest()
      : memory_(::mmap(nullptr, sizeof(TurnQueue), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        queue_(*static_cast<TurnQueue*>(memory_)) {}
  ~TurnQueueTest() override { ::munmap(memory_, sizeof(TurnQueue)); }

  /// Runs `body` in a process that is killed when it returns; waits for its death.
  template <class Body>
  void dieAfter(Body body) {
    const pid_t child = ::fork();
    if (child == 0) {
      body();
      ::raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
  }
  /// The seats stand behind two other numbers.
  bool isInTheQueue(std::size_t seat) const {
    return static_cast<const std::atomic<std::uint64_t>*>(memory_)[2 + seat].load() != 0;
  }
  void fill(unsigned char byte) { std::memset(memory_, byte, sizeof(TurnQueue)); }

  void* memory_;
  TurnQueue& queue_;
  Turn a_{queue_, 0};
  Turn b_{queue_, 1};
  Turn c_{queue_, TurnQueue::kSeats - 1};
};

TEST_F(TurnQueueTest, IsHeldByOneAtATime) {
  ASSERT_TRUE(a_.try_lock_for(kAtOnce));
  EXPECT_FALSE(b_.try_lock_for(1ms));
  a_.unlock();
  EXPECT_TRUE(b_.try_lock_for(kAtOnce));
}

TEST_F(TurnQueueTest, WhoComesAgainStandsBehindThoseWhoWait) {
  std::vector<int> order;
  std::mutex mutex;
  const auto note = [&](int who) {
    const std::lock_guard lock(mutex);
    order.push_back(who);
  };
  ASSERT_TRUE(a_.try_lock_for(kAtOnce));
  std::jthread waiting([&] {
    ASSERT_TRUE(b_.try_lock_for(kLong));
    note(1);
    b_.unlock();
  });
  while (!isInTheQueue(1)) std::this_thread::yield();
  for (int turns = 0; turns < 3; ++turns) {
    a_.unlock();
    ASSERT_TRUE(a_.try_lock_for(kLong));
    note(0);
  }
  a_.unlock();
  waiting.join();
  EXPECT_EQ(order.front(), 1);
}

TEST_F(TurnQueueTest, NobodyHasItTwiceAtOnce) {
  int inside = 0;
  int wrong = 0;
  const auto take = [&](Turn& turn) {
    for (int i = 0; i < 2000; ++i) {
      ASSERT_TRUE(turn.try_lock_for(kLong));
      if (++inside != 1) ++wrong;
      --inside;
      turn.unlock();
    }
  };
  {
    std::jthread other([&] { take(b_); });
    std::jthread third([&] { take(c_); });
    take(a_);
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(TurnQueueTest, ADeadHolderAndADeadWaiterAreGoneOnceTheyWereCollected) {
  dieAfter([&] { static_cast<void>(a_.try_lock_for(kAtOnce)); });
  EXPECT_FALSE(b_.try_lock_for(kAtOnce));
  queue_.leave(0);
  ASSERT_TRUE(b_.try_lock_for(kAtOnce));
  const pid_t waiter = ::fork();
  if (waiter == 0) {
    static_cast<void>(a_.try_lock_for(kLong));
    ::_exit(0);
  }
  std::this_thread::sleep_for(20ms);  // whether or not it waits by now
  ::kill(waiter, SIGKILL);
  ::waitpid(waiter, nullptr, 0);
  queue_.leave(0);
  b_.unlock();
  EXPECT_TRUE(c_.try_lock_for(kAtOnce));
}

TEST_F(TurnQueueTest, WakesThoseWhoWaitForADeadHolder) {
  dieAfter([&] { static_cast<void>(a_.try_lock_for(kAtOnce)); });
  std::jthread collects([&] {
    std::this_thread::sleep_for(20ms);
    queue_.leave(0);
  });
  EXPECT_TRUE(b_.try_lock_for(kLong));
}

TEST_F(TurnQueueTest, OneThatHangsIsWaitedForOnce) {
  ASSERT_TRUE(a_.try_lock_for(kAtOnce));
  EXPECT_FALSE(b_.try_lock_for(5ms));
  EXPECT_TRUE(b_.try_lock_for(kAtOnce));
  b_.unlock();
  a_.unlock();
  ASSERT_TRUE(a_.try_lock_for(kAtOnce));
  EXPECT_FALSE(b_.try_lock_for(kAtOnce)) << "it came back to life";
}

TEST_F(TurnQueueTest, NoNumberHangsAnybodyForLongerThanItsPatience) {
  for (int byte = 0; byte <= 0xff; ++byte) {
    fill(static_cast<unsigned char>(byte));
    // Each dead seat in front may cost one wait.
    bool had = false;
    for (std::size_t tries = 0; tries <= TurnQueue::kSeats && !had; ++tries) {
      had = b_.try_lock_for(kAtOnce);
    }
    EXPECT_TRUE(had) << byte;
  }
}

}  // namespace
}  // namespace egalaxyd
