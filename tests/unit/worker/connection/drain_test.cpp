#include "worker/connection/drain.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <string>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using Next = Drain::Next;

class DrainTest : public testing::Test {
 protected:
  DrainTest() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
    ours_ = UniqueFd(pair[0]);
    client_ = UniqueFd(pair[1]);
  }

  Drain& begin(BodyLeft left, bool plain = true) {
    return drain_.emplace(ours_.get(), limits_, left, plain, start_);
  }
  void answerOf(std::size_t bytes) {
    const std::string answer(bytes, 'a');
    ASSERT_EQ(::send(ours_.get(), answer.data(), bytes, 0), static_cast<ssize_t>(bytes));
  }
  void clientSends(std::size_t bytes) {
    const std::string body(bytes, 'b');
    ASSERT_EQ(::send(client_.get(), body.data(), bytes, 0), static_cast<ssize_t>(bytes));
  }
  std::size_t clientReads(std::size_t most) {
    std::string into(most, ' ');
    const ssize_t got = ::recv(client_.get(), into.data(), most, 0);
    return got < 0 ? 0 : static_cast<std::size_t>(got);
  }
  bool clientSeesTheEnd() {
    char byte = 0;
    return ::recv(client_.get(), &byte, 1, MSG_PEEK) == 0;
  }
  Clock::time_point at(Clock::duration time) const { return start_ + time; }

  const Clock::time_point start_ = Clock::now();
  LimitsConfig limits_;
  UniqueFd ours_;
  UniqueFd client_;
  std::optional<Drain> drain_;
};

TEST_F(DrainTest, EndsAtOnceWhereNoBodyWasAnnounced) {
  Drain& drain = begin(0);
  EXPECT_TRUE(clientSeesTheEnd());
  EXPECT_EQ(drain.receive(), Next::kWait);
  EXPECT_EQ(drain.look(at(2s)), Next::kClose);
}

TEST_F(DrainTest, ClosesWhenTheClientEnds) {
  Drain& drain = begin(10);
  client_.reset();
  EXPECT_EQ(drain.receive(), Next::kClose);
}

TEST_F(DrainTest, HoldsItsEndBackUntilTheBodyHasCome) {
  Drain& drain = begin(10);
  clientSends(9);
  EXPECT_EQ(drain.receive(), Next::kWait);
  EXPECT_EQ(drain.look(at(2s)), Next::kWait);
  EXPECT_FALSE(clientSeesTheEnd());
  clientSends(1);
  EXPECT_EQ(drain.receive(), Next::kWait);
  EXPECT_TRUE(clientSeesTheEnd());
}

TEST_F(DrainTest, UnderTlsABodyIsABitMoreOnTheWire) {
  Drain& drain = begin(10, false);
  clientSends(40);
  EXPECT_EQ(drain.receive(), Next::kWait);
  EXPECT_TRUE(clientSeesTheEnd());
}

TEST_F(DrainTest, EndsForAClientThatWaitsForThat) {
  Drain& drain = begin(10);
  clientSends(3);
  EXPECT_EQ(drain.look(at(2s)), Next::kWait);
  EXPECT_FALSE(clientSeesTheEnd());
  EXPECT_EQ(drain.look(at(4s)), Next::kWait);
  EXPECT_TRUE(clientSeesTheEnd());
  EXPECT_EQ(drain.look(at(6s)), Next::kClose);
}

TEST_F(DrainTest, WhatIsNotKnownToComeIsWaitedForWhileThereIsSome) {
  Drain& drain = begin(std::nullopt);
  EXPECT_FALSE(clientSeesTheEnd());
  clientSends(3);
  EXPECT_EQ(drain.receive(), Next::kWait);
  EXPECT_TRUE(clientSeesTheEnd());
}

TEST_F(DrainTest, ADripDoesNotProlongItBeyondTheTimeOfAnAnswer) {
  Drain& drain = begin(1'000'000);
  Clock::duration time = 0s;
  Next next = Next::kWait;
  while (next == Next::kWait && time < 1min) {
    clientSends(1);
    time += Drain::kInterval;
    next = drain.look(at(time));
  }
  EXPECT_EQ(time, 30s + Drain::kInterval);
}

TEST_F(DrainTest, AReaderMustTakeItsAnswerAtTheLeastRate) {
  limits_.writeTimeout = 1h;
  answerOf(100'000);
  Drain& drain = begin(0);
  Clock::duration time = 0s;
  Next next = Next::kWait;
  while (next == Next::kWait && time < 10min) {
    time += Drain::kInterval;
    if (time % 10s == 0s) clientReads(100);
    next = drain.look(at(time));
  }
  EXPECT_EQ(time, 30s + Drain::kInterval);
}

TEST_F(DrainTest, AnAnswerThatIsTakenMayTakeItsTime) {
  answerOf(100'000);
  Drain& drain = begin(0);
  Clock::duration time = 0s;
  std::size_t read = 0;
  while (drain.look(at(time)) == Next::kWait && time < 10min) {
    read += clientReads(4'000);
    time += Drain::kInterval;
  }
  EXPECT_EQ(read, 100'000u);
}

}  // namespace
}  // namespace egalaxyd
