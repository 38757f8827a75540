#include "worker/dynamic/script_output.h"

#include <gtest/gtest.h>

#include <csignal>

#include "tests/unit/worker/dynamic/fake_launcher.h"

namespace egalaxyd {
namespace {

using State = AnswerSource::Piece::State;

class ScriptOutputTest : public testing::Test {
 protected:
  ScriptOutputTest() {
    link_.connect(launcher_.connect());
    RunScript order;
    order.run = 1;
    link_.run(std::move(order), "cgi \"/x\"").then([this](Result<LauncherLink::Script> script) {
      output_ = std::make_unique<ScriptOutput>(loop_, link_, std::move(*script));
    });
    EXPECT_TRUE(launcher_.asked<RunScript>());
    streams_ = launcher_.start(1);
    turnUntil(loop_, [&] { return output_ != nullptr; });
    output_->onReady([this] { ++told_; });
  }

  /// All that is there now; `state_` says why there is no more.
  std::string read() {
    std::string text;
    std::array<char, 16> room{};
    for (;;) {
      const auto piece = output_->read(room);
      state_ = piece.state;
      if (state_ != State::kBytes) return text;
      text.append(room.data(), piece.bytes);
    }
  }
  void awaitEnd(State state) {
    turnUntil(loop_, [&] { return read().empty() && state_ == state; });
  }
  void awaitWord() {
    turnUntil(loop_, [&] { return told_ > 0; });
  }

  std::unique_ptr<SharedState> shared_ = std::move(SharedState::create()).value();
  EventLoop loop_;
  FakeLauncher launcher_;
  LauncherLink link_{loop_, shared_->slot(0)};
  FakeLauncher::Streams streams_;
  std::unique_ptr<ScriptOutput> output_;
  State state_ = State::kLater;
  int told_ = 0;
};

TEST_F(ScriptOutputTest, TellsWhenThereIsSomethingToRead) {
  EXPECT_EQ(read(), "");
  EXPECT_EQ(state_, State::kLater);
  told_ = 0;
  writeTo(streams_.output, "a longer word than that");
  awaitWord();
  EXPECT_EQ(read(), "a longer word than that");
  EXPECT_EQ(state_, State::kLater);
}

TEST_F(ScriptOutputTest, EndsWithAScriptThatEndsWell) {
  writeTo(streams_.output, "all");
  streams_.output.reset();
  launcher_.end(1);
  turnUntil(loop_, [&] { return link_.running() == 0; });
  EXPECT_EQ(read(), "all");
  EXPECT_EQ(state_, State::kEnd);
  EXPECT_EQ(output_->howItEnded(), "");
}

TEST_F(ScriptOutputTest, TellsTheExitCode) {
  streams_.output.reset();
  launcher_.end(1, 3);
  awaitEnd(State::kEnd);
  EXPECT_EQ(output_->howItEnded(), "exited with code 3");
}

TEST_F(ScriptOutputTest, IsCutByASignal) {
  streams_.output.reset();
  launcher_.end(1, 0, SIGSEGV);
  awaitEnd(State::kCut);
  EXPECT_EQ(output_->howItEnded(), "killed by signal 11 (SIGSEGV)");
}

TEST_F(ScriptOutputTest, WaitsForTheWordOfHowAScriptEnded) {
  streams_.output.reset();
  awaitWord();
  EXPECT_EQ(read(), "");
  EXPECT_EQ(state_, State::kLater);
}

TEST_F(ScriptOutputTest, EndsThoughTheScriptWorksOnWithoutOutput) {
  streams_.output.reset();
  awaitEnd(State::kEnd);
  EXPECT_EQ(link_.running(), 1U);
  EXPECT_EQ(output_->howItEnded(), "");
}

TEST_F(ScriptOutputTest, EndsThoughAProcessThatWasLeftBehindHoldsThePipe) {
  writeTo(streams_.output, "all");
  launcher_.end(1);
  turnUntil(loop_, [&] { return link_.running() == 0; });
  EXPECT_EQ(read(), "all");
  EXPECT_EQ(state_, State::kEnd);
}

TEST_F(ScriptOutputTest, StopsAScriptThatNobodyReadsAnyMore) {
  output_.reset();
  EXPECT_EQ(launcher_.asked<StopScript>(), StopScript{1});
}

TEST_F(ScriptOutputTest, StopsNoScriptThatHasEnded) {
  streams_.output.reset();
  launcher_.end(1);
  awaitEnd(State::kEnd);
  output_.reset();
  link_.stop(2);
  EXPECT_EQ(launcher_.asked<StopScript>(), StopScript{2}) << "the first that is said";
}

}  // namespace
}  // namespace egalaxyd
