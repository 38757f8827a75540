#include "worker/dynamic/launcher_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <csignal>

#include "tests/unit/worker/dynamic/fake_launcher.h"

namespace egalaxyd {
namespace {

using Script = LauncherLink::Script;

/// Whether nobody holds the other end any more.
bool isAbandoned(const UniqueFd& pipe) {
  pollfd end{pipe.get(), 0, 0};
  return ::poll(&end, 1, 0) == 1 && (end.revents & POLLERR) != 0;
}

class LauncherLinkTest : public testing::Test {
 protected:
  LauncherLinkTest() { link_.connect(launcher_.connect()); }

  static RunScript orderOf(std::uint32_t run) {
    RunScript order;
    order.run = run;
    order.script = "x";
    return order;
  }
  void run(std::uint32_t number = 1) {
    link_.run(orderOf(number), "cgi \"/x\"").then([this](Result<Script> script) {
      script_.emplace(std::move(script));
    });
  }
  void awaitScript() {
    turnUntil(loop_, [&] { return script_.has_value(); });
  }
  /// A script that runs.
  FakeLauncher::Streams start() {
    run();
    EXPECT_TRUE(launcher_.asked<RunScript>());
    auto streams = launcher_.start(1);
    awaitScript();
    EXPECT_TRUE(*script_);
    return streams;
  }
  std::int64_t gauge(Gauge gauge) const { return shared_->total(gauge); }

  std::unique_ptr<SharedState> shared_ = std::move(SharedState::create()).value();
  EventLoop loop_;
  FakeLauncher launcher_;
  LauncherLink link_{loop_, shared_->slot(0)};
  std::optional<Result<Script>> script_;
};

TEST_F(LauncherLinkTest, GivesTheScriptThatWasStarted) {
  run();
  EXPECT_EQ(launcher_.asked<RunScript>(), orderOf(1));
  EXPECT_EQ(gauge(Gauge::kScriptsQueued), 1);
  const auto streams = launcher_.start(1, 4711);
  awaitScript();
  ASSERT_TRUE(*script_);
  EXPECT_EQ((*script_)->process->name, "cgi \"/x\"[4711]");
  EXPECT_EQ(gauge(Gauge::kScriptsQueued), 0);
  EXPECT_EQ(gauge(Gauge::kScriptsRunning), 1);
  EXPECT_EQ(shared_->total(Counter::kScriptsStarted), 1U);
  EXPECT_EQ(link_.running(), 1U);
  writeTo(streams.output, "said");
  std::array<char, 8> bytes{};
  EXPECT_EQ(::read((*script_)->output.get(), bytes.data(), bytes.size()), 4);
}

TEST_F(LauncherLinkTest, TellsWhyAScriptWasNotStarted) {
  for (const auto& [why, code] :
       {std::pair(WhyNot::kFull, ErrorCode::kBusy), std::pair(WhyNot::kTooLong, ErrorCode::kBusy),
        std::pair(WhyNot::kGone, ErrorCode::kNotFound),
        std::pair(WhyNot::kCannotRun, ErrorCode::kPermission),
        std::pair(WhyNot::kNoResource, ErrorCode::kNoSpace)}) {
    script_.reset();
    run();
    ASSERT_TRUE(launcher_.asked<RunScript>());
    launcher_.say(NotStarted{1, why, "so it is"});
    awaitScript();
    ASSERT_FALSE(*script_);
    EXPECT_EQ(script_->error().code, code);
    EXPECT_EQ(script_->error().message, "so it is");
    EXPECT_EQ(gauge(Gauge::kScriptsQueued), 0);
  }
}

TEST_F(LauncherLinkTest, TellsTheEndOfAScript) {
  const auto streams = start();
  bool told = false;
  (*script_)->process->onEnded = [&] { told = true; };
  launcher_.end(1, 3);
  turnUntil(loop_, [&] { return told; });
  EXPECT_EQ((*script_)->process->ended->exitCode, 3);
  EXPECT_EQ(gauge(Gauge::kScriptsRunning), 0);
  EXPECT_EQ(shared_->total(Counter::kScriptsKilled), 0U);
  EXPECT_EQ(link_.running(), 0U);
}

TEST_F(LauncherLinkTest, CountsTheScriptsThatWereEndedByUs) {
  const auto streams = start();
  launcher_.say(ScriptEnded{1, 0, SIGTERM, 0, true});
  turnUntil(loop_, [&] { return link_.running() == 0; });
  EXPECT_EQ(shared_->total(Counter::kScriptsKilled), 1U);
}

TEST_F(LauncherLinkTest, AnswersAStoppedQuestionInALaterTurn) {
  run();
  ASSERT_TRUE(launcher_.asked<RunScript>());
  link_.stop(1);
  EXPECT_FALSE(script_) << "its caller may be on the stack";
  EXPECT_EQ(launcher_.asked<StopScript>(), StopScript{1});
  awaitScript();
  EXPECT_EQ(script_->error().code, ErrorCode::kIo);
  const auto streams = launcher_.start(1);
  turnUntil(loop_, [&] { return isAbandoned(streams.output); });
  EXPECT_EQ(gauge(Gauge::kScriptsRunning), 0);
  EXPECT_EQ(gauge(Gauge::kScriptsQueued), 0);
}

TEST_F(LauncherLinkTest, LosesNothingWhereTheLauncherIsSlow) {
  constexpr std::uint32_t kRuns = 500;
  for (std::uint32_t number = 1; number <= kRuns; ++number) {
    RunScript order = orderOf(number);
    order.body = std::string(4096, 'b');
    link_.run(std::move(order), "cgi \"/x\"").then([](const Result<Script>&) {});
    link_.stop(number);
  }
  for (std::uint32_t number = 1; number <= kRuns; ++number) {
    turnUntil(loop_, [&] { return launcher_.wasAsked(); });
    ASSERT_EQ(launcher_.asked<RunScript>()->run, number);
    turnUntil(loop_, [&] { return launcher_.wasAsked(); });
    ASSERT_EQ(launcher_.asked<StopScript>(), StopScript{number});
  }
}

TEST_F(LauncherLinkTest, AsksALauncherThatDoesNotListenNoMoreThanMemoryIsWorth) {
  std::optional<Error> refusal;
  for (std::uint32_t number = 1; number <= 1000 && !refusal; ++number) {
    RunScript order = orderOf(number);
    order.body = std::string(16384, 'b');
    link_.run(std::move(order), "cgi \"/x\"").then([&](const Result<Script>& script) {
      if (!script) refusal = script.error();
    });
  }
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, ErrorCode::kBusy);
  turnUntil(loop_, [&] { return launcher_.wasAsked(); });
  EXPECT_EQ(launcher_.asked<RunScript>()->run, 1U);
}

TEST_F(LauncherLinkTest, WithoutADescriptorThatIsFreeAScriptIsStoppedAndTheLauncherHeardOn) {
  run();
  ASSERT_TRUE(launcher_.asked<RunScript>());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto streams = launcher_.start(1);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  awaitScript();
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(script_->error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(launcher_.asked<StopScript>(), StopScript{1});
  script_.reset();
  run(2);
  ASSERT_TRUE(launcher_.asked<RunScript>());
  const auto more = launcher_.start(2);
  awaitScript();
  EXPECT_TRUE(*script_);
}

TEST_F(LauncherLinkTest, StopsAllThatRuns) {
  const auto streams = start();
  link_.stopAll();
  EXPECT_EQ(launcher_.asked<StopScript>(), StopScript{1});
}

TEST_F(LauncherLinkTest, EndsWhatALauncherRanThatIsGone) {
  const auto streams = start();
  run(2);
  script_->value().process->onEnded = [] {};
  const auto process = (*script_)->process;
  script_.reset();
  launcher_.close();
  awaitScript();
  EXPECT_EQ(script_->error().code, ErrorCode::kNoSpace);
  ASSERT_TRUE(process->ended);
  EXPECT_EQ(process->ended->signal, SIGKILL);
  EXPECT_EQ(gauge(Gauge::kScriptsRunning), 0);
  EXPECT_EQ(gauge(Gauge::kScriptsQueued), 0);
}

TEST_F(LauncherLinkTest, RefusesAtOnceWithoutALauncherAndAsksTheNextOne) {
  link_.connect({});
  run();
  ASSERT_TRUE(script_);
  EXPECT_EQ(script_->error().code, ErrorCode::kNoSpace);
  script_.reset();
  link_.connect(launcher_.connect());
  const auto streams = start();
}

TEST_F(LauncherLinkTest, HearsNoMoreOfALauncherThatTalksNonsense) {
  for (const std::string& nonsense :
       {std::string("?"), encode(ScriptStarted{1, 4711}), std::string(5000, 'x')}) {
    link_.connect(launcher_.connect());
    script_.reset();
    run();
    ASSERT_TRUE(launcher_.asked<RunScript>());
    launcher_.say(nonsense);
    awaitScript();
    EXPECT_EQ(script_->error().code, ErrorCode::kNoSpace);
    EXPECT_FALSE(launcher_.asked<StopScript>()) << "the channel is closed";
  }
}

TEST_F(LauncherLinkTest, HandsOutTheConnectionThatWasDialled) {
  std::optional<Result<UniqueFd>> socket;
  link_.dial({.run = 1, .upstream = 3}).then([&](Result<UniqueFd> got) {
    socket.emplace(std::move(got));
  });
  EXPECT_EQ(launcher_.asked<DialUpstream>(), (DialUpstream{1, 3}));
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const UniqueFd near(ends[0]);
  const UniqueFd far(ends[1]);
  launcher_.say(encode(Dialled{1}), {near.get()});
  turnUntil(loop_, [&] { return socket.has_value(); });
  ASSERT_TRUE(*socket);
  writeTo(far, "hello");
  std::array<char, 8> bytes{};
  EXPECT_EQ(::read((*socket)->get(), bytes.data(), bytes.size()), 5);
}

TEST_F(LauncherLinkTest, TellsThatNobodyAnsweredACall) {
  std::optional<Result<UniqueFd>> socket;
  link_.dial({.run = 1, .upstream = 3}).then([&](Result<UniqueFd> got) {
    socket.emplace(std::move(got));
  });
  launcher_.say(NotStarted{1, WhyNot::kNoAnswer, "connection refused"});
  turnUntil(loop_, [&] { return socket.has_value(); });
  EXPECT_EQ(socket->error().code, ErrorCode::kIo);
  EXPECT_EQ(socket->error().message, "connection refused");
}

}  // namespace
}  // namespace egalaxyd
