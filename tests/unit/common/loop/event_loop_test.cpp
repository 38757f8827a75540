#include "common/loop/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

/// What the loop's system calls do to a test: this thread's are counted, or held.
struct SystemCalls {
  static thread_local int waits;  ///< calls of epoll_wait
  static thread_local std::function<void()> beforeWrite;
};
thread_local int SystemCalls::waits = 0;
thread_local std::function<void()> SystemCalls::beforeWrite;

}  // namespace

// The linker leads calls of these here (--wrap).
extern "C" {
int __real_epoll_wait(int epoll, epoll_event* events, int most, int milliseconds);
int __wrap_epoll_wait(int epoll, epoll_event* events, int most, int milliseconds) {
  ++SystemCalls::waits;
  return __real_epoll_wait(epoll, events, most, milliseconds);
}
ssize_t __real_write(int fd, const void* bytes, size_t size);
ssize_t __wrap_write(int fd, const void* bytes, size_t size) {
  if (const auto hold = std::exchange(SystemCalls::beforeWrite, nullptr)) hold();
  return __real_write(fd, bytes, size);
}
}

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

std::pair<UniqueFd, UniqueFd> socketPair() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void poke(const UniqueFd& fd) { ASSERT_EQ(::write(fd.get(), "x", 1), 1); }

TEST(EventLoop, ReportsAReadableDescriptorUntilItIsRead) {
  EventLoop loop;
  const auto [here, there] = socketPair();
  int calls = 0;
  Watch watch(loop, [&](IoEvents events) {
    EXPECT_TRUE(events.readable);
    if (++calls == 3) loop.stop();
  });
  ASSERT_TRUE(watch.start(here.get(), WatchMode::kRead).ok());
  poke(there);
  loop.run();
  EXPECT_EQ(calls, 3);
}

TEST(EventLoop, ReportsAnEdgeOnce) {
  EventLoop loop;
  const auto [here, there] = socketPair();
  int calls = 0;
  Watch watch(loop, [&](IoEvents events) {
    ++calls;
    EXPECT_TRUE(events.readable && events.writable);
  });
  poke(there);
  ASSERT_TRUE(watch.start(here.get(), WatchMode::kEdge).ok());
  watch.wantRoom();
  Timer end(loop, [&] { loop.stop(); });
  end.setAfter(5ms);
  loop.run();
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, ReportsRoomOnlyOnceItIsWanted) {
  EventLoop loop;
  const auto [here, there] = socketPair();
  bool writable = false;
  Watch watch(loop, [&](IoEvents events) { writable = writable || events.writable; });
  ASSERT_TRUE(watch.start(here.get(), WatchMode::kEdge).ok());
  poke(there);
  Timer end(loop, [&] { loop.stop(); });
  end.setAfter(5ms);
  loop.run();
  EXPECT_FALSE(writable);
  watch.wantRoom();
  end.setAfter(5ms);
  loop.run();
  EXPECT_TRUE(writable);
}

TEST(EventLoop, ReportsAHangUpAsReadableAndWritable) {
  EventLoop loop;
  auto [here, there] = socketPair();
  std::optional<IoEvents> seen;
  Watch watch(loop, [&](IoEvents events) {
    seen = events;
    loop.stop();
  });
  ASSERT_TRUE(watch.start(here.get(), WatchMode::kRead).ok());
  there.reset();
  loop.run();
  ASSERT_TRUE(seen.has_value());
  EXPECT_TRUE(seen->readable);
  EXPECT_TRUE(seen->writable);
}

TEST(EventLoop, SaysWhenADescriptorCannotBeWatched) {
  EventLoop loop;
  Watch watch(loop, [](IoEvents) {});
  EXPECT_FALSE(watch.start(-1, WatchMode::kRead).ok());
  EXPECT_FALSE(watch.active());
  EXPECT_EQ(loop.watchCount(), 0u);
}

TEST(EventLoop, DoesNotCallAWatchThatWasStoppedInTheSameTurn) {
  for (const bool forget : {false, true}) {
    EventLoop loop;
    auto [a, aPeer] = socketPair();
    auto [b, bPeer] = socketPair();
    int calls = 0;
    std::optional<Watch> first;
    std::optional<Watch> second;
    const auto onlyOne = [&](IoEvents) {
      ++calls;
      // Whichever comes first stops the other; its own stays until the loop ends.
      for (auto* watch : {&*first, &*second}) forget ? watch->forget() : watch->stop();
      loop.stop();
    };
    first.emplace(loop, onlyOne);
    second.emplace(loop, onlyOne);
    ASSERT_TRUE(first->start(a.get(), WatchMode::kRead).ok());
    ASSERT_TRUE(second->start(b.get(), WatchMode::kRead).ok());
    poke(aPeer);
    poke(bPeer);
    loop.run();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(loop.watchCount(), 0u);
  }
}

TEST(EventLoop, CountsWhatIsRegistered) {
  EventLoop loop;
  const auto [here, there] = socketPair();
  {
    Watch watch(loop, [](IoEvents) {});
    Timer timer(loop, [] {});
    ASSERT_TRUE(watch.start(here.get(), WatchMode::kRead).ok());
    timer.setAfter(1h);
    EXPECT_EQ(loop.watchCount(), 1u);
    EXPECT_EQ(loop.timerCount(), 1u);
  }
  EXPECT_EQ(loop.watchCount(), 0u);
  EXPECT_EQ(loop.timerCount(), 0u);
}

TEST(EventLoop, RunsDeadlinesInTheirOrder) {
  EventLoop loop;
  std::vector<int> order;
  Timer last(loop, [&] {
    order.push_back(3);
    loop.stop();
  });
  Timer first(loop, [&] { order.push_back(1); });
  Timer second(loop, [&] { order.push_back(2); });
  Timer never(loop, [&] { order.push_back(0); });
  last.setAfter(3ms);
  first.setAfter(1ms);
  second.setAfter(2ms);
  never.setAfter(1ms);
  never.cancel();
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(EventLoop, FiresADeadlineOnceAndNeverEarly) {
  EventLoop loop;
  const auto due = Clock::now() + 5ms;
  int calls = 0;
  Timer timer(loop, [&] {
    ++calls;
    EXPECT_GE(Clock::now(), due);
  });
  Timer end(loop, [&] { loop.stop(); });
  timer.setAt(due);
  end.setAfter(15ms);
  loop.run();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(timer.active());
}

TEST(EventLoop, LetsADeadlineSetItselfAgain) {
  EventLoop loop;
  int calls = 0;
  Timer timer(loop, [] {});
  Timer again(loop, [&] {
    if (++calls == 3) return loop.stop();
    again.setAfter(1ms);
  });
  again.setAfter(1ms);
  loop.run();
  EXPECT_EQ(calls, 3);
}

TEST(EventLoop, ADeadlineOfNowThatSetsItselfAgainLetsDescriptorsHaveTheirTurn) {
  EventLoop loop;
  const auto [here, there] = socketPair();
  Timer busy(loop, [&] { busy.setAfter(0ms); });
  Watch watch(loop, [&](IoEvents) { loop.stop(); });
  busy.setAfter(0ms);
  ASSERT_TRUE(watch.start(here.get(), WatchMode::kRead).ok());
  poke(there);
  loop.run();
}

TEST(EventLoop, KeepsItsHeapInOrderWhateverIsSetMovedAndCancelled) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  EventLoop loop;
  const auto base = Clock::now() - 1h;  // all due at once, so one turn fires them in order
  std::vector<Clock::time_point> when(200);
  std::vector<Clock::time_point> fired;
  std::vector<std::unique_ptr<Timer>> timers;
  for (std::size_t i = 0; i < when.size(); ++i) {
    timers.push_back(std::make_unique<Timer>(loop, [&, i] { fired.push_back(when[i]); }));
  }
  for (int step = 0; step < 2000; ++step) {
    const std::size_t i = random() % when.size();
    if (random() % 3 == 0) {
      timers[i]->cancel();
    } else {
      when[i] = base + std::chrono::microseconds(random() % 1'000'000);
      timers[i]->setAt(when[i]);
    }
  }
  const std::size_t expected = loop.timerCount();
  loop.defer([&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(fired.size(), expected);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
}

TEST(EventLoop, RunsPostedWorkOfOtherThreadsOnItsOwn) {
  constexpr int kThreads = 4;
  constexpr int kJobs = 500;
  EventLoop loop;
  const auto owner = std::this_thread::get_id();
  int done = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kJobs; ++i) {
        loop.post([&] {
          EXPECT_EQ(std::this_thread::get_id(), owner);
          if (++done == kThreads * kJobs) loop.stop();
        });
      }
    });
  }
  loop.run();
  EXPECT_EQ(done, kThreads * kJobs);
}

TEST(EventLoop, SleepsAgainAfterAWakeUpThatCameBehindItsJob) {
  EventLoop loop;
  std::promise<void> ran;
  std::atomic<bool> written = false;
  Timer end(loop, [&] { loop.stop(); });
  // Keeps the loop turning while the post is held between its push and its write.
  Timer turning(loop, [&] {
    if (!written) return turning.setAfter(1ms);
    SystemCalls::waits = 0;
    end.setAfter(30ms);
  });
  turning.setAfter(0ms);
  std::jthread poster([&] {
    SystemCalls::beforeWrite = [&] { ran.get_future().wait(); };
    loop.post([&] { ran.set_value(); });
    written = true;
  });
  loop.run();
  EXPECT_LE(SystemCalls::waits, 4);
}

TEST(EventLoop, RunsWorkThatWasPostedBeforeIt) {
  EventLoop loop;
  loop.post([&] { loop.stop(); });
  loop.run();
}

TEST(EventLoop, DefersWorkUntilNoCallbackIsOnTheStack) {
  EventLoop loop;
  const auto [here, there] = socketPair();
  bool inside = false;
  std::unique_ptr<Watch> watch;
  watch = std::make_unique<Watch>(loop, [&](IoEvents) {
    inside = true;
    loop.defer([&] {
      EXPECT_FALSE(inside);
      watch.reset();
      loop.stop();
    });
    inside = false;
  });
  ASSERT_TRUE(watch->start(here.get(), WatchMode::kRead).ok());
  poke(there);
  loop.run();
  EXPECT_EQ(watch, nullptr);
  EXPECT_EQ(loop.watchCount(), 0u);
}

TEST(EventLoop, AJobThatThrowsEndsAlone) {
  EventLoop loop;
  int ran = 0;
  loop.post([] { throw std::runtime_error("posted"); });
  loop.post([&] { ++ran; });
  loop.defer([] { throw 7; });
  loop.defer([&] {
    ++ran;
    loop.stop();
  });
  loop.run();
  EXPECT_EQ(ran, 2);
}

TEST(EventLoop, RunsWorkDeferredByDeferredWorkToo) {
  EventLoop loop;
  int depth = 0;
  std::function<void()> deeper = [&] {
    if (++depth == 3) return loop.stop();
    loop.defer([&] { deeper(); });
  };
  loop.defer([&] { deeper(); });
  loop.run();
  EXPECT_EQ(depth, 3);
}

TEST(EventLoopExceptions, EndNoOtherCallback) {
  EventLoop loop;
  std::vector<std::string> told;
  std::vector<std::string> ran;
  loop.containExceptions([&](std::string_view what) { told.emplace_back(what); });
  const UniqueFd ready(::eventfd(1, EFD_CLOEXEC));
  Watch watch(loop, [&](IoEvents) {
    watch.stop();
    throw std::runtime_error("watch");
  });
  ASSERT_TRUE(watch.start(ready.get(), WatchMode::kRead));
  Timer timer(loop, [] { throw std::runtime_error("timer"); });
  Timer later(loop, [&] { ran.emplace_back("timer"); });
  timer.setAfter(std::chrono::milliseconds(1));
  later.setAfter(std::chrono::milliseconds(2));
  loop.post([] { throw std::runtime_error("post"); });
  loop.post([&] { ran.emplace_back("post"); });
  loop.defer([] { throw 1; });
  loop.defer([&] { ran.emplace_back("defer"); });
  Timer end(loop, [&] { loop.stop(); });
  end.setAfter(std::chrono::milliseconds(20));
  loop.run();
  EXPECT_THAT(told,
              testing::UnorderedElementsAre("watch", "timer", "post", "what is no std::exception"));
  EXPECT_THAT(ran, testing::UnorderedElementsAre("timer", "post", "defer"));
}

}  // namespace
}  // namespace egalaxyd
