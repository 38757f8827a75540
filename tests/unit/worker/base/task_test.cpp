#include "worker/base/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace egalaxyd {
namespace {

using Word = Result<std::string>;

/// Gives words when the test does.
class Speaker {
 public:
  Async<Word> next() {
    return async<Word>([this](Async<Word>::Done done) {
      ++asked;
      if (now) return done(*std::exchange(now, std::nullopt));
      waiting.push_back(std::move(done));
    });
  }
  void say(std::string word) { give(std::move(word), 0); }
  void give(Word word, std::size_t whom) {
    auto done = std::move(waiting.at(whom));
    waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(whom));
    done(std::move(word));
  }

  int asked = 0;
  std::optional<Word> now;  ///< given at once
  std::vector<Async<Word>::Done> waiting;
};

/// Counts itself, to show what is freed.
struct Held {
  explicit Held(int& c) : count(c) { ++count; }
  Held(const Held& other) : count(other.count) { ++count; }
  Held& operator=(const Held&) = delete;
  ~Held() { --count; }
  int& count;
};

class TaskTest : public testing::Test {
 public:
  Task<void> listen() {
    const Held held(held_);
    for (;;) {
      const Word word = co_await speaker_.next();
      heard_ += word ? *word : "(" + word.error().message + ")";
      if (!word || word->empty()) co_return;
    }
  }
  Task<Word> twoWords(std::string between) {
    const Held held(held_);
    auto first = co_await speaker_.next();
    if (!first) co_return first;
    auto second = co_await speaker_.next();
    if (!second) co_return second;
    co_return *first + between + *second;
  }
  Task<void> report(Task<Word> task) {
    const Word word = co_await std::move(task);
    heard_ += word ? *word : word.error().message;
  }

  Speaker speaker_;
  std::string heard_;
  int held_ = 0;
  Tasks tasks_;
};

TEST_F(TaskTest, GoesOnWhenWhatItAwaitsIsThere) {
  tasks_.start(listen());
  EXPECT_EQ(tasks_.running(), 1u);
  speaker_.say("one ");
  speaker_.say("two ");
  EXPECT_EQ(heard_, "one two ");
  speaker_.say("");
  EXPECT_EQ(tasks_.running(), 0u);
  EXPECT_EQ(held_, 0);
}

TEST_F(TaskTest, TakesWhatIsThereAtOnce) {
  speaker_.now = std::string("now");
  tasks_.start(listen());
  EXPECT_EQ(heard_, "now");
  EXPECT_EQ(speaker_.asked, 2);
  speaker_.say("");
}

TEST_F(TaskTest, AwaitsOtherTasks) {
  tasks_.start(report(twoWords("-")));
  speaker_.say("a");
  EXPECT_EQ(heard_, "");
  speaker_.say("b");
  EXPECT_EQ(heard_, "a-b");
  EXPECT_EQ(held_, 0);
}

TEST_F(TaskTest, DoesNotBeginBeforeItIsAwaited) {
  {
    const auto task = twoWords("-");
    EXPECT_EQ(speaker_.asked, 0);
  }
  EXPECT_EQ(held_, 0);
}

TEST_F(TaskTest, RunsTwoBesideEachOtherAndAwaitsBoth) {
  const auto together = [](TaskTest& test) -> Task<void> {
    const auto [first, second] = co_await both(test.twoWords("+"), test.twoWords("*"));
    test.heard_ = (first ? *first : first.error().message) + " " +
                  (second ? *second : second.error().message);
  };
  tasks_.start(together(*this));
  ASSERT_EQ(speaker_.waiting.size(), 2u);
  speaker_.give(Error{ErrorCode::kIo, "failed"}, 1);
  EXPECT_EQ(heard_, "") << "the other one is awaited all the same";
  speaker_.say("a");
  speaker_.say("b");
  EXPECT_EQ(heard_, "a+b failed");
  EXPECT_EQ(held_, 0);
}

TEST_F(TaskTest, GoesOnAtOnceWhenBothEndAtOnce) {
  const auto instantly = [](std::string word) -> Task<Word> { co_return word; };
  const auto together = [&instantly](TaskTest& test) -> Task<void> {
    const auto [first, second] = co_await both(instantly("x"), instantly("y"));
    test.heard_ = *first + *second;
  };
  tasks_.start(together(*this));
  EXPECT_EQ(heard_, "xy");
}

TEST_F(TaskTest, ACancelledOneIsToldAtItsNextWait) {
  const auto cancellation = std::make_shared<Cancellation>();
  tasks_.start(report(twoWords("-")), cancellation);
  cancellation->request();
  speaker_.say("a");
  EXPECT_EQ(heard_, Cancellation::error().message);
  EXPECT_EQ(speaker_.asked, 1);
  EXPECT_EQ(tasks_.running(), 0u);
}

TEST_F(TaskTest, AnExceptionPassesThroughThoseWhoAwait) {
  const auto stumble = [](TaskTest& test) -> Task<Word> {
    const Held held(test.held_);
    static_cast<void>(co_await test.speaker_.next());
    throw std::runtime_error("stumbled");
  };
  const auto catchIt = [&stumble](TaskTest& test) -> Task<void> {
    try {
      static_cast<void>(co_await stumble(test));
    } catch (const std::exception& e) {
      test.heard_ = e.what();
    }
    co_await test.listen();
  };
  tasks_.start(catchIt(*this));
  speaker_.say("");
  EXPECT_EQ(heard_, "stumbled");
  speaker_.say("");
}

TEST_F(TaskTest, AnExceptionThatNobodyCatchesEndsItAndFreesWhatItHeld) {
  const auto stumble = [](TaskTest& test) -> Task<void> {
    const Held held(test.held_);
    static_cast<void>(co_await test.speaker_.next());
    throw 7;
  };
  tasks_.start(stumble(*this));
  EXPECT_EQ(held_, 1);
  speaker_.say("");
  EXPECT_EQ(held_, 0);
  EXPECT_EQ(tasks_.running(), 0u);
}

TEST_F(TaskTest, ThoseThatWaitEndWithTheirLoop) {
  {
    Tasks tasks;
    tasks.start(listen());
    tasks.start(report(twoWords("-")));
    EXPECT_EQ(held_, 2);
  }
  EXPECT_EQ(held_, 0);
}

TEST_F(TaskTest, AFunctionMayTakeTheResultToo) {
  speaker_.next().then([&](Word word) { heard_ = *word; });
  speaker_.say("heard");
  EXPECT_EQ(heard_, "heard");
}

TEST(CancellationTest, CallsItsHookOnceWhenItIsRequested) {
  Cancellation cancellation;
  int called = 0;
  cancellation.onRequest([&] {
    ++called;
    EXPECT_TRUE(cancellation.requested());
  });
  cancellation.request();
  cancellation.request();
  EXPECT_EQ(called, 1);
}

TEST(CancellationTest, CallsNoHookThatWasTakenBack) {
  Cancellation cancellation;
  int called = 0;
  cancellation.onRequest([&] { ++called; });
  cancellation.onRequest({});
  cancellation.request();
  EXPECT_EQ(called, 0);
}

}  // namespace
}  // namespace egalaxyd
