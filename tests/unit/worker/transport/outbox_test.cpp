#include "worker/transport/outbox.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <string>

#include "common/base/unique_fd.h"

namespace egalaxyd {
namespace {

struct Ends {
  Ends() {
    int both[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both), 0);
    server.reset(both[0]);
    client.reset(both[1]);
  }
  UniqueFd server;  ///< takes some hundred KiB
  UniqueFd client;
};

/// Both ends of one connection in one thread.
class OutboxTest : public testing::Test {
 protected:
  /// All that is there for the client now.
  std::string clientReads() {
    std::string all;
    std::array<char, 64 * 1024> buffer;
    ssize_t got = 0;
    while ((got = ::recv(ends_.client.get(), buffer.data(), buffer.size(), 0)) > 0) {
      all.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return all;
  }

  Ends ends_;
  Outbox outbox_{ends_.server.get()};
};

TEST_F(OutboxTest, HandsOnAtOnceWhatTheSocketTakes) {
  outbox_.write("ping");
  EXPECT_TRUE(outbox_.empty());
  EXPECT_EQ(clientReads(), "ping");
}

TEST_F(OutboxTest, CountsEachByteOnce) {
  outbox_.write("four");
  outbox_.write("five5");
  const IoResult sent = outbox_.send();
  EXPECT_EQ(sent.status, IoStatus::kDone);
  EXPECT_EQ(sent.bytes, 9u);
  EXPECT_EQ(outbox_.send().bytes, 0u);
}

TEST_F(OutboxTest, HoldsBackWhatTheSocketDoesNotTakeAndKeepsTheOrder) {
  std::string all;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    const std::string piece(64 * 1024, letter);
    outbox_.write(piece);
    all += piece;
  }
  ASSERT_FALSE(outbox_.empty()) << "more than the socket takes";
  IoResult sent = outbox_.send();
  EXPECT_EQ(sent.status, IoStatus::kBlocked);
  std::size_t counted = sent.bytes;
  EXPECT_EQ(outbox_.send().bytes, 0u) << "still full";
  std::string got;
  while (sent.status == IoStatus::kBlocked) {
    const std::string part = clientReads();
    ASSERT_FALSE(part.empty());
    got += part;
    sent = outbox_.send();
    counted += sent.bytes;
  }
  got += clientReads();
  EXPECT_EQ(sent.status, IoStatus::kDone);
  EXPECT_TRUE(outbox_.empty());
  EXPECT_EQ(counted, all.size());
  EXPECT_TRUE(got == all);
}

TEST_F(OutboxTest, WhatIsHeldLeavesBeforeWhatIsWrittenNext) {
  outbox_.reserve(100);
  outbox_.hold("one ");
  outbox_.hold("two ");
  EXPECT_EQ(clientReads(), "");
  EXPECT_FALSE(outbox_.empty());
  outbox_.write("three");
  EXPECT_EQ(clientReads(), "one two three");
}

TEST_F(OutboxTest, WhatIsHeldLeavesWithSend) {
  outbox_.hold("held");
  const IoResult sent = outbox_.send();
  EXPECT_EQ(sent.status, IoStatus::kDone);
  EXPECT_EQ(sent.bytes, 4u);
  EXPECT_EQ(clientReads(), "held");
}

TEST_F(OutboxTest, NothingIsNothing) {
  outbox_.write("");
  outbox_.hold("");
  const IoResult sent = outbox_.send();
  EXPECT_EQ(sent.status, IoStatus::kDone);
  EXPECT_EQ(sent.bytes, 0u);
  EXPECT_FALSE(outbox_.failed());
}

TEST_F(OutboxTest, KeepsNothingForAPeerThatIsGone) {
  outbox_.write("taken");
  ends_.client.reset();
  outbox_.write("lost");
  EXPECT_TRUE(outbox_.failed());
  EXPECT_TRUE(outbox_.empty());
  outbox_.hold("lost");
  outbox_.write("lost");
  EXPECT_TRUE(outbox_.empty());
  const IoResult sent = outbox_.send();
  EXPECT_EQ(sent.status, IoStatus::kFailed);
  EXPECT_EQ(sent.bytes, 5u) << "what was taken before";
}

TEST_F(OutboxTest, SaysSoWhenThePeerGoesWhileBytesWait) {
  outbox_.write(std::string(4 * 1024 * 1024, 'x'));
  ASSERT_EQ(outbox_.send().status, IoStatus::kBlocked);
  ends_.client.reset();
  EXPECT_EQ(outbox_.send().status, IoStatus::kFailed);
  EXPECT_EQ(outbox_.send().status, IoStatus::kFailed);
}

}  // namespace
}  // namespace egalaxyd
