#include "common/shared/worker_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using Kind = WorkerChannel::Received::Kind;

class WorkerChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    auto ends = messageSocketPair();
    ASSERT_TRUE(ends.ok());
    master_ = WorkerChannel(std::move(ends->first));
    worker_ = WorkerChannel(std::move(ends->second));
  }
  void sendRaw(std::string_view bytes) {
    ASSERT_EQ(::send(worker_.fd(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }

  WorkerChannel master_;
  WorkerChannel worker_;
};

TEST_F(WorkerChannelTest, CarriesEachMessageWithItsText) {
  ASSERT_TRUE(worker_.send(ChannelMessage::kRefused, "no root").ok());
  ASSERT_TRUE(worker_.send(ChannelMessage::kReady).ok());
  auto got = master_.receive();
  EXPECT_EQ(got.kind, Kind::kMessage);
  EXPECT_EQ(got.message, ChannelMessage::kRefused);
  EXPECT_EQ(got.text, "no root");
  got = master_.receive();
  EXPECT_EQ(got.message, ChannelMessage::kReady);
  EXPECT_EQ(got.text, "");
  EXPECT_EQ(master_.receive().kind, Kind::kNothing);
}

TEST_F(WorkerChannelTest, GoesBothWays) {
  ASSERT_TRUE(master_.send(ChannelMessage::kDrain).ok());
  EXPECT_EQ(worker_.receive().message, ChannelMessage::kDrain);
}

TEST_F(WorkerChannelTest, ATextBringsNoControlCharacters) {
  ASSERT_TRUE(worker_.send(ChannelMessage::kStorage, "full\n\x1b[2J\xc2\x9b").ok());
  EXPECT_EQ(master_.receive().text, "full??[2J??");
}

TEST_F(WorkerChannelTest, CutsALongText) {
  ASSERT_TRUE(worker_.send(ChannelMessage::kRefused, std::string(5000, 'x')).ok());
  EXPECT_EQ(master_.receive().text, std::string(WorkerChannel::kMaxText, 'x'));
}

TEST_F(WorkerChannelTest, NoticesThatThePeerHasGone) {
  ASSERT_TRUE(worker_.send(ChannelMessage::kReady).ok());
  worker_ = WorkerChannel();
  EXPECT_EQ(master_.receive().kind, Kind::kMessage);
  EXPECT_EQ(master_.receive().kind, Kind::kPeerGone);
  EXPECT_FALSE(master_.send(ChannelMessage::kDrain).ok());
}

TEST_F(WorkerChannelTest, FailsRatherThanWaitForAPeerThatDoesNotRead) {
  int sent = 0;
  while (sent < 100'000 && master_.send(ChannelMessage::kDrain).ok()) ++sent;
  EXPECT_LT(sent, 100'000);
  EXPECT_EQ(worker_.receive().message, ChannelMessage::kDrain);
}

TEST_F(WorkerChannelTest, CallsUnknownKindsNonsense) {
  for (const int kind : {0, 12, 127, 255}) {
    sendRaw(std::string(1, static_cast<char>(kind)));
    EXPECT_EQ(master_.receive().kind, Kind::kNonsense) << kind;
  }
}

TEST_F(WorkerChannelTest, CallsAnOversizedMessageNonsense) {
  sendRaw("\x02" + std::string(WorkerChannel::kMaxText + 1, 'x'));
  EXPECT_EQ(master_.receive().kind, Kind::kNonsense);
}

int openDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<int>(std::distance(begin(all), end(all)));
}

TEST_F(WorkerChannelTest, CarriesAFileToTheWorker) {
  const TempDir dir;
  dir.write("log", "");
  {
    const UniqueFd file(::open((dir / "log").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(master_.send(ChannelMessage::kNewLog, "", file.get()).ok());
  }
  ASSERT_TRUE(master_.send(ChannelMessage::kNewLog).ok());
  const auto got = worker_.receive(WorkerChannel::Files::kTake);
  EXPECT_EQ(got.message, ChannelMessage::kNewLog);
  ASSERT_TRUE(got.file);
  EXPECT_NE(::fcntl(got.file.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(::write(got.file.get(), "line\n", 5), 5);
  EXPECT_EQ(dir.read("log"), "line\n");
  EXPECT_FALSE(worker_.receive(WorkerChannel::Files::kTake).file);
}

TEST_F(WorkerChannelTest, TheMasterTakesNoFileOfAWorker) {
  const UniqueFd file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const int before = openDescriptors();
  ASSERT_TRUE(worker_.send(ChannelMessage::kReady, "", file.get()).ok());
  const auto got = master_.receive();
  EXPECT_EQ(got.kind, Kind::kMessage);
  EXPECT_FALSE(got.file);
  EXPECT_EQ(openDescriptors(), before);
}

}  // namespace
}  // namespace egalaxyd
