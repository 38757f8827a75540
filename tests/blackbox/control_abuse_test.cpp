// Control clients that misbehave: the master serves on, and stays as small as it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "common/wire/control_protocol.h"
#include "tests/support/capsule.h"
#include "tests/support/control_client.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kStatus = "{\"v\":1,\"command\":\"status\"}\n";
constexpr const char* kStats = "{\"v\":1,\"command\":\"stats\"}\n";
/// Far more than a busy machine needs for one answer, and less than a client's patience (10 s), so
/// that nobody waits for the misbehaving to be timed out.
constexpr std::chrono::milliseconds kSoon{8'000};
constexpr int kCrowd = 200;

class ControlAbuse : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# One\n");
    capsule.start();
    expectService();
    memoryBefore_ = anonymousKib(capsule.masterPid());
  }
  void TearDown() override {
    expectService();
#ifndef EGALAXYD_SANITIZED  // they keep what was freed
    EXPECT_LT(anonymousKib(capsule.masterPid()), memoryBefore_ + kMostMoreKib);
#endif
  }
  std::unique_ptr<ControlClient> client() const {
    auto made = std::make_unique<ControlClient>(capsule.controlSocket());
    EXPECT_TRUE(made->connected());
    return made;
  }
  /// Both kinds of client are served now: those who manage, and those who read.
  void expectService() const {
    const Deadline soon(kSoon);
    const auto asking = client();
    asking->send(kStatus);
    EXPECT_THAT(asking->line(soon), StartsWith("{\"ok\":true")) << capsule.log();
    EXPECT_EQ(capsule.get("/").body, "# One\n");
    const Finished told = capsule.ctl({"status"});
    EXPECT_EQ(told.status.code, 0) << told.all();
  }

  /// kMostClients times a whole answer and what was read of a request, and some.
  static constexpr std::size_t kMostMoreKib = 4096;
  Capsule capsule;

 private:
  std::size_t memoryBefore_ = 0;
};

TEST_F(ControlAbuse, GarbageIsSentAway) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string garbage(random() % 3000, '\0');
    for (char& c : garbage) c = static_cast<char>(random());
    const auto sending = client();
    sending->send("\xff" + garbage + "\n");
    EXPECT_THAT(sending->line(), testing::AnyOf(StartsWith("{\"ok\":false"), "")) << i;
  }
}

TEST_F(ControlAbuse, HalfLinesHoldNobodyUp) {
  std::vector<std::unique_ptr<ControlClient>> slow;
  for (int i = 0; i < kCrowd; ++i) {
    slow.push_back(client());
    slow.back()->send(std::string(kStatus).substr(0, static_cast<std::size_t>(i) % 27));
    if (i % 20 == 0) expectService();
  }
  expectService();
}

TEST_F(ControlAbuse, AMillionBytesWithoutALineEndAreNotKept) {
  std::vector<std::unique_ptr<ControlClient>> sending;
  const std::string million(1'000'000, '{');
  for (int i = 0; i < 50; ++i) {
    sending.push_back(client());
    sending.back()->send(million);
    EXPECT_THAT(sending.back()->line(), testing::AnyOf(HasSubstr("too long"), ""));
    EXPECT_EQ(sending.back()->line(), "");
  }
}

TEST_F(ControlAbuse, ACrowdIsAnsweredOrTurnedAway) {
  std::vector<std::unique_ptr<ControlClient>> crowd;
  for (int i = 0; i < kCrowd; ++i) {
    crowd.push_back(client());
    crowd.back()->send(kStatus);
  }
  int served = 0;
  for (const auto& each : crowd) {
    const std::string line = each->line();
    EXPECT_THAT(line, testing::AnyOf(StartsWith("{\"ok\":true"), HasSubstr("too many"), ""));
    served += line.starts_with("{\"ok\":true") ? 1 : 0;
  }
  EXPECT_GT(served, 0);
}

TEST_F(ControlAbuse, ASilentCrowdKeepsNobodyOut) {
  std::vector<std::unique_ptr<ControlClient>> crowd;
  for (int i = 0; i < kCrowd; ++i) crowd.push_back(client());
  expectService();
}

TEST_F(ControlAbuse, AnswersThatNobodyReadsArePiledUpNowhere) {
  std::string questions;
  for (int i = 0; i < 1000; ++i) questions += kStats;
  std::vector<std::unique_ptr<ControlClient>> deaf;
  for (int i = 0; i < 60; ++i) {
    deaf.push_back(client());
    deaf.back()->send(questions);
  }
  expectService();
}

TEST_F(ControlAbuse, ClientsThatLeaveInTheMiddleAreForgotten) {
  for (int i = 0; i < 100; ++i) {
    const auto leaving = client();
    leaving->send(i % 2 == 0 ? "{\"v\":1,\"command\":\"worker" : kStats);
    if (i % 4 == 3) leaving->finish();
  }
  const std::vector<pid_t> before = capsule.workerPids();
  for (const char* command : {"{\"v\":1,\"command\":\"reload\"}\n",
                              "{\"v\":1,\"command\":\"restart\",\"worker\":\"all\"}\n"}) {
    client()->send(command);
    expectService();
  }
  EXPECT_TRUE(eventually([&] {
    const std::vector<pid_t> now = capsule.workerPids();
    return now.size() == 2 && now != before;
  })) << capsule.log();
}

TEST_F(ControlAbuse, CommandsByTheHundredAtOnceAllEnd) {
  std::vector<std::unique_ptr<ControlClient>> asking;
  for (int i = 0; i < 50; ++i) {
    asking.push_back(client());
    asking.back()->send(i % 2 == 0 ? "{\"v\":1,\"command\":\"reload\"}\n"
                                   : "{\"v\":1,\"command\":\"restart\",\"worker\":\"all\"}\n");
  }
  expectService();
  for (const auto& each : asking) EXPECT_THAT(each->line(), StartsWith("{\"ok\":"));
  EXPECT_TRUE(eventually([&] { return capsule.workerPids().size() == 2; })) << capsule.log();
}

}  // namespace
}  // namespace egalaxyd
