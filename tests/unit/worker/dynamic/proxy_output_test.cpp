#include "worker/dynamic/proxy_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/temp_dir.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

using PieceState = AnswerSource::Piece::State;

/// The capsule is the other end of a socket, under the test's hands.
class ProxyOutputTest : public testing::Test {
 protected:
  ProxyOutputTest() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    ours_.reset(ends[0]);
    capsule_.reset(ends[1]);
  }

  void ask(std::string line, SpooledBody body = {}) {
    output_ = std::make_unique<ProxyOutput>(
        harness_.loop(), harness_.pool(),
        std::make_unique<DialledStream>(std::move(ours_), nullptr, ""),
        ConnectionPlaces::Place(places_), "proxy \"/\"",
        ProxyQuestion{std::move(line), std::move(body)});
    output_->onReady([this] { ready_ = true; });
  }

  SpooledBody spooled(std::string_view content) {
    const auto file = dir_.write("1-1", content);
    SpooledBody body(dir_.path(), "1-1", UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)));
    body.grew(content.size());
    return body;
  }

  std::string read() {
    std::array<char, 1024> room;
    last_ = output_->read(room);
    return {room.data(), last_.bytes};
  }

  std::string capsuleReads() {
    std::string bytes(64 * 1024, '\0');
    const ssize_t got = ::recv(capsule_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
  }

  void capsuleSays(std::string_view text) {
    ASSERT_EQ(::send(capsule_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  SiteHarness harness_;
  const TempDir dir_;
  const std::shared_ptr<ConnectionPlaces> places_ = std::make_shared<ConnectionPlaces>(1);
  UniqueFd ours_;
  UniqueFd capsule_;
  std::unique_ptr<ProxyOutput> output_;
  AnswerSource::Piece last_;
  bool ready_ = false;
};

TEST_F(ProxyOutputTest, AsksAndGivesTheAnswerToItsEnd) {
  ask("gemini://h.test/\r\n");
  EXPECT_FALSE(places_->isFree());
  EXPECT_EQ(read(), "");
  EXPECT_EQ(last_.state, PieceState::kLater);
  EXPECT_EQ(capsuleReads(), "gemini://h.test/\r\n");
  ready_ = false;
  capsuleSays("20 text/plain\r\nhello\n");
  harness_.turnUntil([this] { return ready_; });
  EXPECT_EQ(read(), "20 text/plain\r\nhello\n");
  EXPECT_EQ(read(), "");
  EXPECT_EQ(last_.state, PieceState::kLater);
  capsule_.reset();
  read();
  EXPECT_EQ(last_.state, PieceState::kEnd);
  EXPECT_EQ(output_->howItEnded(), "");
  EXPECT_TRUE(places_->isFree());
  read();
  EXPECT_EQ(last_.state, PieceState::kEnd);
}

TEST_F(ProxyOutputTest, SendsABodyThatIsLargerThanTheSocket) {
  std::string content;
  while (content.size() < (1U << 20)) content += std::to_string(content.size()) + '\n';
  ask("titan://h.test/x;size=1\r\n", spooled(content));
  std::string got;
  harness_.turnUntil([&] {
    read();
    got += capsuleReads();
    return got.size() >= content.size() + 25;
  });
  EXPECT_EQ(got, "titan://h.test/x;size=1\r\n" + content);
  capsuleSays("20 text/plain\r\n");
  EXPECT_EQ(read(), "20 text/plain\r\n");
}

TEST_F(ProxyOutputTest, HearsAnAnswerBeforeItsBodyIsSent) {
  ask("titan://h.test/x;size=1\r\n", spooled(std::string(4U << 20, 'x')));
  read();
  capsuleSays("59 Not that\r\n");
  EXPECT_EQ(read(), "59 Not that\r\n");
}

TEST_F(ProxyOutputTest, IsCutWhereItsBodyCannotBeRead) {
  SpooledBody body = spooled("short");
  body.grew(100);  // more than there is
  ask("titan://h.test/x;size=105\r\n", std::move(body));
  harness_.turnUntil([this] {
    read();
    return last_.state == PieceState::kCut;
  });
  EXPECT_NE(output_->howItEnded(), "");
  EXPECT_TRUE(places_->isFree());
}

TEST_F(ProxyOutputTest, ClosesTheConnectionWhenItIsUnwanted) {
  ask("titan://h.test/x;size=1\r\n", spooled(std::string(1U << 20, 'x')));
  read();
  output_.reset();  // the pool may read the next piece
  EXPECT_TRUE(places_->isFree());
  while (!capsuleReads().empty()) {
  }
  char byte = 0;
  EXPECT_EQ(::recv(capsule_.get(), &byte, 1, MSG_DONTWAIT), 0);
  harness_.turnUntil([this] { return harness_.pool().pending() == 0; });
}

}  // namespace
}  // namespace egalaxyd
