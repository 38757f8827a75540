#include "worker/dynamic/program_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "tests/support/captured_log.h"
#include "tests/unit/worker/module/site_harness.h"
#include "worker/dynamic/programs.h"

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using State = AnswerSource::Piece::State;

/// What a test has a program say.
struct Speech {
  std::deque<std::string> words;
  std::optional<State> end;
  std::string howItEnded;
  std::optional<Status> refusal;
  std::function<void()> tell = [] {};  ///< that there is more
  bool hasSpoken = false;
  bool gone = false;  ///< its source is destroyed
};

class SpeechSource final : public AnswerSource {
 public:
  explicit SpeechSource(Speech& speech) : speech_(speech) {
    speech.tell = [this] { ready(); };
  }
  ~SpeechSource() override {
    speech_.gone = true;
    speech_.tell = [] {};
  }
  SpeechSource(const SpeechSource&) = delete;
  SpeechSource& operator=(const SpeechSource&) = delete;

  Piece read(std::span<char> room) override {
    if (speech_.words.empty()) return {speech_.end.value_or(State::kLater), 0};
    speech_.hasSpoken = true;
    std::string& word = speech_.words.front();
    const std::size_t size = std::min(word.size(), room.size());
    std::copy_n(word.begin(), size, room.begin());
    word.erase(0, size);
    if (word.empty()) speech_.words.pop_front();
    return {State::kBytes, size};
  }
  std::string name() const override { return "cgi \"/x\"[1]"; }
  std::string howItEnded() const override { return speech_.howItEnded; }
  std::optional<Status> refusal() const override { return speech_.refusal; }
  bool saidNothing() const override { return !speech_.hasSpoken; }

 private:
  Speech& speech_;
};

class ProgramAnswerTest : public testing::Test {
 protected:
  ProgramAnswer answer() {
    auto place = harness_.services().programs.admit(IpAddress());
    return ProgramAnswer{.source = std::make_unique<SpeechSource>(speech_),
                         .times = times_,
                         .place = std::get<ProgramPlace>(std::move(place)),
                         .counters = harness_.shared().slot(0)};
  }
  void pass(ProgramAnswer answer) {
    harness_.services().tasks.start(passAnswer(std::move(answer), unwanted_,
                                               Responder([this](std::optional<Response> response) {
                                                 answered_ = true;
                                                 response_ = std::move(response);
                                               }),
                                               harness_.services()));
  }
  void pass() { pass(answer()); }
  void say(std::string word) {
    speech_.words.push_back(std::move(word));
    speech_.tell();
  }
  void end(State how) {
    speech_.end = how;
    speech_.tell();
  }
  void awaitAnswer() {
    harness_.turnUntil([&] { return answered_; });
  }
  /// "20 text/plain"
  std::string header() const {
    return !response_ ? "none"
                      : std::to_string(static_cast<int>(response_->status)) + " " + response_->meta;
  }
  std::int64_t places() { return harness_.shared().total(Gauge::kProgramRequests); }
  std::uint64_t counted(Counter counter) { return harness_.shared().total(counter); }

  Speech speech_;
  ProgramTimes times_;
  std::shared_ptr<Cancellation> unwanted_ = std::make_shared<Cancellation>();
  CapturedLog log_;
  SiteHarness harness_;
  bool answered_ = false;
  std::optional<Response> response_;
};

TEST_F(ProgramAnswerTest, IsHeaderAndBodyAsTheyCome) {
  pass();
  say("20 text");
  say("/plain\r\nfirst ");
  awaitAnswer();
  EXPECT_EQ(header(), "20 text/plain");
  std::array<char, 64> room{};
  EXPECT_EQ(response_->body->pull(room).bytes, "first ");
  EXPECT_EQ(response_->body->pull(room).state, BodyChunk::State::kLater);
  int woken = 0;
  response_->body->onWake([&] { ++woken; });
  say("second");
  EXPECT_EQ(woken, 1);
  speech_.tell();
  EXPECT_EQ(woken, 1) << "it is awake";
  EXPECT_EQ(response_->body->pull(room).bytes, "second");
  end(State::kEnd);
  EXPECT_EQ(response_->body->pull(room).state, BodyChunk::State::kEnd);
  EXPECT_EQ(places(), 1);
  response_.reset();
  EXPECT_TRUE(speech_.gone);
  EXPECT_EQ(places(), 0);
}

TEST_F(ProgramAnswerTest, GivesWhatFollowsTheHeaderInPieces) {
  pass();
  say("20 text/plain\r\nabcdef");
  awaitAnswer();
  std::array<char, 4> room{};
  EXPECT_EQ(response_->body->pull(room).bytes, "abcd");
  EXPECT_EQ(response_->body->pull(room).bytes, "ef");
}

TEST_F(ProgramAnswerTest, OfNoWordIs42) {
  pass();
  end(State::kEnd);
  awaitAnswer();
  EXPECT_EQ(header(), "42 The application gave no answer");
  EXPECT_THAT(log_.text(), HasSubstr("error: cgi \"/x\"[1]: ended without a word"));
  EXPECT_EQ(counted(Counter::kScriptsFailed), 1U);
  EXPECT_EQ(places(), 0);
}

TEST_F(ProgramAnswerTest, WithoutHeaderIsWhatTheSourceSays) {
  speech_.refusal = Status::kServerUnavailable;
  speech_.howItEnded = "is overloaded";
  pass();
  end(State::kCut);
  awaitAnswer();
  EXPECT_EQ(response_->status, Status::kServerUnavailable);
  EXPECT_THAT(log_.text(), HasSubstr("is overloaded before its header"));
}

TEST_F(ProgramAnswerTest, WithABadHeaderTellsTheClientNothingOfIt) {
  pass();
  say("secret\nword\n");
  awaitAnswer();
  EXPECT_EQ(response_->status, Status::kCgiError);
  EXPECT_EQ(response_->meta.find("secret"), std::string::npos);
  EXPECT_THAT(log_.text(), HasSubstr("no header: \"secret"));
  end(State::kEnd);
  harness_.turnUntil([&] { return speech_.gone; });
  EXPECT_EQ(places(), 0);
}

TEST_F(ProgramAnswerTest, ThatIsNoSuccessHasNoBody) {
  pass();
  say("30 /there\r\nword");
  awaitAnswer();
  EXPECT_EQ(header(), "30 /there");
  EXPECT_EQ(response_->body, nullptr);
  EXPECT_FALSE(speech_.gone) << "it may do its work to the end";
  end(State::kEnd);
  harness_.turnUntil([&] { return speech_.gone; });
}

TEST_F(ProgramAnswerTest, IsNotWaitedForBeyondItsTime) {
  times_.header = 1ms;
  pass();
  say("20 te");
  awaitAnswer();
  EXPECT_EQ(header(), "42 The application did not answer in time");
  EXPECT_TRUE(speech_.gone);
  EXPECT_THAT(log_.text(), HasSubstr("no header within 0.001 s (header_timeout)"));
  EXPECT_EQ(counted(Counter::kScriptsLate), 1U);
}

TEST_F(ProgramAnswerTest, OfACapsuleThatIsLateIs43) {
  times_.header = 1ms;
  ProgramAnswer late = answer();
  late.from = HeaderFrom::kCapsule;
  pass(std::move(late));
  awaitAnswer();
  EXPECT_EQ(response_->status, Status::kProxyError);
}

TEST_F(ProgramAnswerTest, IsCutWhenItPausesForTooLong) {
  times_.idle = 1ms;
  pass();
  say("20 text/plain\r\nword");
  awaitAnswer();
  std::string body;
  EXPECT_FALSE(harness_.readBody(*response_->body, body));
  EXPECT_EQ(body, "word");
  EXPECT_THAT(log_.text(), HasSubstr("said nothing for 0.001 s (idle_timeout)"));
  EXPECT_EQ(counted(Counter::kScriptsLate), 1U);
}

TEST_F(ProgramAnswerTest, IsCutWhenItTakesTooLong) {
  times_.idle = std::nullopt;
  times_.whole = 1ms;
  pass();
  say("20 text/plain\r\nword");
  awaitAnswer();
  std::string body;
  EXPECT_FALSE(harness_.readBody(*response_->body, body));
  EXPECT_THAT(log_.text(), HasSubstr("took more than 0.001 s (timeout)"));
}

TEST_F(ProgramAnswerTest, IsCutWhenItsProgramIsKilled) {
  speech_.howItEnded = "killed by signal 9 (SIGKILL)";
  pass();
  say("20 text/plain\r\nword");
  awaitAnswer();
  end(State::kCut);
  std::string body;
  EXPECT_FALSE(harness_.readBody(*response_->body, body));
  EXPECT_THAT(log_.text(), HasSubstr("killed by signal 9 (SIGKILL) in the middle of its answer"));
}

TEST_F(ProgramAnswerTest, IsWholeThoughItsProgramFails) {
  speech_.howItEnded = "exited with code 3";
  pass();
  say("20 text/plain\r\nword");
  awaitAnswer();
  end(State::kEnd);
  std::string body;
  EXPECT_TRUE(harness_.readBody(*response_->body, body));
  EXPECT_THAT(log_.text(),
              HasSubstr("warning: cgi \"/x\"[1]: exited with code 3 after its answer"));
}

TEST_F(ProgramAnswerTest, ThatNobodyWaitsForEndsItsProgram) {
  pass();
  unwanted_->request();
  EXPECT_FALSE(speech_.gone) << "its caller may be on the stack";
  harness_.turnUntil([&] { return speech_.gone; });
  EXPECT_EQ(places(), 0);
}

TEST_F(ProgramAnswerTest, ThatNobodyReadsAnyMoreEndsItsProgram) {
  pass();
  say("20 text/plain\r\nword");
  awaitAnswer();
  response_.reset();
  EXPECT_TRUE(speech_.gone);
}

TEST_F(ProgramAnswerTest, ToABodyIsLetToItsEnd) {
  ProgramAnswer stored = answer();
  stored.runsToItsEnd = true;
  pass(std::move(stored));
  unwanted_->request();
  say("20 text/plain\r\nword");
  awaitAnswer();
  response_.reset();
  say(std::string(200'000, 'x'));
  harness_.turnUntil([&] { return speech_.words.empty(); });
  EXPECT_FALSE(speech_.gone);
  EXPECT_EQ(places(), 1);
  end(State::kEnd);
  harness_.turnUntil([&] { return speech_.gone; });
  EXPECT_EQ(places(), 0);
}

TEST_F(ProgramAnswerTest, IsAskedForAgainWhereAnOldConnectionSaidNothing) {
  int again = 0;
  ProgramAnswer old = answer();
  old.tryAgain = [&](Responder, ProgramPlace) { ++again; };
  pass(std::move(old));
  end(State::kCut);
  harness_.turnUntil([&] { return speech_.gone; });
  EXPECT_EQ(again, 1);
  speech_ = {};
  ProgramAnswer another = answer();
  another.tryAgain = [&](Responder, ProgramPlace) { ++again; };
  pass(std::move(another));
  say("2");
  end(State::kCut);
  awaitAnswer();
  EXPECT_EQ(again, 1) << "it has been asked, and may have done something";
}

TEST_F(ProgramAnswerTest, CanHaveItsHeaderRewritten) {
  ProgramAnswer rewritten = answer();
  rewritten.rewrite = [](ScriptHeader& header) { header.meta = "/elsewhere"; };
  pass(std::move(rewritten));
  say("30 /there\r\n");
  awaitAnswer();
  EXPECT_EQ(header(), "30 /elsewhere");
}

}  // namespace
}  // namespace egalaxyd
