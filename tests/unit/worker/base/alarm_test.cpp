#include "worker/base/alarm.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

class AlarmTest : public testing::Test {
 protected:
  Task<void> sleeper() {
    for (;;) {
      static_cast<void>(co_await alarm_.wait());
      ++woken_;
    }
  }
  void turn() {
    loop_.post([this] { loop_.stop(); });
    loop_.run();
  }

  EventLoop loop_;
  Alarm alarm_{loop_};
  int woken_ = 0;
  Tasks tasks_;
};

TEST_F(AlarmTest, WakesItsTaskWhenNoCallerIsOnTheStack) {
  tasks_.start(sleeper());
  alarm_.ring();
  EXPECT_EQ(woken_, 0);
  turn();
  EXPECT_EQ(woken_, 1);
  turn();
  EXPECT_EQ(woken_, 1);
}

TEST_F(AlarmTest, WakesOnceForManyRings) {
  tasks_.start(sleeper());
  for (int i = 0; i < 3; ++i) alarm_.ring();
  turn();
  EXPECT_EQ(woken_, 1);
}

TEST_F(AlarmTest, RemembersARingThatNobodyWaitedFor) {
  alarm_.ring();
  tasks_.start(sleeper());
  EXPECT_EQ(woken_, 1);
}

TEST_F(AlarmTest, ReachesNobodyWhenItIsGone) {
  auto alarm = std::make_unique<Alarm>(loop_);
  alarm->wait().then([this](Result<void>) { ++woken_; });
  alarm->ring();
  alarm.reset();
  turn();
  EXPECT_EQ(woken_, 0);
}

}  // namespace
}  // namespace egalaxyd
