#include "master/child/query_runner.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "tests/support/deadline.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

class QueryRunnerTest : public testing::Test {
 protected:
  /// What came of `work`; waits for it.
  Result<std::string> run(const QueryRunner::Work& work) {
    std::optional<Result<std::string>> got;
    const auto begun = runner_.run(work, [&](Result<std::string> text) {
      got = std::move(text);
      loop_.stop();
    });
    if (!begun) return begun.error();
    Timer late(loop_, [&] { loop_.stop(); });
    late.setAfter(kPatience);
    loop_.run();
    return got ? std::move(*got) : Error{ErrorCode::kBusy, "no answer came"};
  }

  EventLoop loop_;
  QueryRunner runner_{loop_};
};

TEST_F(QueryRunnerTest, BringsBackWhatTheProcessSays) {
  const pid_t here = ::getpid();
  const auto text =
      run([&] { return ::getpid() == here ? "the same" : std::string(100'000, 'x'); });
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text, std::string(100'000, 'x'));
}

TEST_F(QueryRunnerTest, LeavesTheProcessNoDescriptorOfTheMaster) {
  const UniqueFd mine(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto open = run([] {
    std::size_t count = 0;
    for (int fd = STDERR_FILENO + 1; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1U : 0U;
    return std::to_string(count);
  });
  EXPECT_EQ(open.value(), "1") << "what it writes to";
}

TEST(RunAndWait, LeavesTheProcessTheDescriptorThatItIsToKeep) {
  for (const int number : {3, 50, 900}) {
    UniqueFd kept(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, number));
    const UniqueFd other(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const auto open = runAndWait(
        [&] {
          return std::to_string(::fcntl(kept.get(), F_GETFD) >= 0 ? 1 : 0) +
                 std::to_string(::fcntl(other.get(), F_GETFD) >= 0 ? 1 : 0);
        },
        "the process", kept.get());
    EXPECT_EQ(open.value(), "10") << number;
  }
}

TEST_F(QueryRunnerTest, SaysHowAProcessEndedThatAnsweredNothing) {
  const auto killed = run([]() -> std::string {
    ::raise(SIGKILL);
    return "";
  });
  ASSERT_FALSE(killed);
  EXPECT_THAT(killed.error().message, HasSubstr("killed by signal 9 (SIGKILL)"));
}

TEST_F(QueryRunnerTest, TakesNoAnswerWithoutAnEnd) {
  const auto text = run([] { return std::string(QueryRunner::kMostBytes + 1, 'x'); });
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message, HasSubstr("too long"));
}

TEST_F(QueryRunnerTest, RunsAFewAtOnceAndEndsThemWithItself) {
  const auto hang = []() -> std::string {
    for (;;) ::pause();
  };
  QueryRunner runner(loop_);
  const auto never = [](const Result<std::string>&) { FAIL(); };
  for (std::size_t i = 0; i < QuerySettings().most; ++i) ASSERT_TRUE(runner.run(hang, never));
  const auto refused = runner.run(hang, never);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
}

}  // namespace
}  // namespace egalaxyd
