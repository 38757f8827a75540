#include "master/status/status_keeper.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include "tests/support/deadline.h"

namespace egalaxyd {
namespace {

class StatusKeeperTest : public testing::Test {
 protected:
  StatusKeeperTest() {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address_), size), 0);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
    EXPECT_EQ(::listen(fd.get(), 8), 0);
    plan_.sockets.push_back(std::make_shared<const ListeningSocket>(std::move(fd)));
  }

  /// Runs the loop until `state` holds; false when it does not come to that.
  bool runUntil(const std::function<bool()>& state) {
    bool holds = false;
    std::function<void()> check = [&] {
      holds = state();
      if (holds) return loop_.stop();
      again_->setAfter(std::chrono::milliseconds(5));
    };
    again_.emplace(loop_, check);
    again_->setAfter(std::chrono::milliseconds(0));
    Timer late(loop_, [&] { loop_.stop(); });
    late.setAfter(kPatience);
    loop_.run();
    again_.reset();
    return holds;
  }

  std::unique_ptr<SharedState> shared_ = std::move(SharedState::create()).value();
  EventLoop loop_;
  std::optional<Timer> again_;
  sockaddr_in address_{};
  StatusPlan plan_;
  int asked_ = 0;
  StatusKeeper keeper_{loop_, *shared_, [this] {
                         ++asked_;
                         return std::string("{}");
                       }};
};

bool isGone(pid_t pid) { return ::kill(pid, 0) != 0; }

TEST_F(StatusKeeperTest, ServesNothingWithoutASocket) {
  keeper_.serve({});
  EXPECT_EQ(keeper_.pid(), 0);
}

TEST_F(StatusKeeperTest, AProcessThatIsKilledIsReplaced) {
  keeper_.serve(plan_);
  const pid_t first = keeper_.pid();
  ASSERT_NE(first, 0);
  ASSERT_TRUE(runUntil([&] { return asked_ == 1; }));
  ::kill(first, SIGKILL);
  EXPECT_TRUE(runUntil([&] { return keeper_.pid() != 0 && keeper_.pid() != first; }));
  EXPECT_TRUE(runUntil([&] { return asked_ == 2; }));
}

TEST_F(StatusKeeperTest, AnotherPlanHasAnotherProcessAndTheSameOneNone) {
  keeper_.serve(plan_);
  const pid_t first = keeper_.pid();
  keeper_.serve(plan_);
  EXPECT_EQ(keeper_.pid(), first);
  plan_.token.hex = std::string(64, 'a');
  keeper_.serve(plan_);
  EXPECT_NE(keeper_.pid(), first);
  EXPECT_TRUE(runUntil([&] { return isGone(first); }));
  const pid_t second = keeper_.pid();
  keeper_.stop();
  EXPECT_EQ(keeper_.pid(), 0);
  EXPECT_TRUE(runUntil([&] { return isGone(second); }));
}

TEST_F(StatusKeeperTest, AProcessThatHangsIsReplaced) {
  keeper_.serve(plan_);
  const pid_t first = keeper_.pid();
  ASSERT_TRUE(runUntil([&] { return asked_ == 1; }));
  ::kill(first, SIGSTOP);
  for (int i = 0; i < 15; ++i) keeper_.look();
  EXPECT_TRUE(runUntil([&] { return isGone(first) && keeper_.pid() != 0; }));
}

TEST_F(StatusKeeperTest, AProcessThatIsToLeaveAndHangsIsKilled) {
  keeper_.serve(plan_);
  const pid_t first = keeper_.pid();
  ::kill(first, SIGSTOP);
  keeper_.stop();
  keeper_.look();
  EXPECT_FALSE(isGone(first));
  keeper_.look();
  EXPECT_TRUE(runUntil([&] { return isGone(first); }));
}

}  // namespace
}  // namespace egalaxyd
