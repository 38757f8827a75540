#include "worker/transport/plain_transport.h"

#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

#include "tests/support/deadline.h"
#include "worker/site/body.h"

namespace egalaxyd {
namespace {

/// Both ends of one connection in one thread: each step is taken by hand.
class PlainTransportTest : public testing::Test {
 protected:
  PlainTransportTest() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    client_.reset(ends[1]);
    server_.emplace(UniqueFd(ends[0]));
  }

  void clientSends(std::string_view text) {
    ASSERT_EQ(::send(client_.get(), text.data(), text.size(), 0),
              static_cast<ssize_t>(text.size()));
  }

  std::string serverReads() {
    std::array<char, 1024> buffer;
    const IoResult result = server_->read(buffer);
    return result.status == IoStatus::kDone ? std::string(buffer.data(), result.bytes) : "";
  }

  /// All that is there for the client now.
  std::string clientReads() {
    std::string all;
    std::array<char, 64 * 1024> buffer;
    ssize_t got = 0;
    while ((got = ::recv(client_.get(), buffer.data(), buffer.size(), 0)) > 0) {
      all.append(buffer.data(), static_cast<std::size_t>(got));
    }
    ended_ = got == 0;
    return all;
  }

  UniqueFd client_;
  std::optional<PlainTransport> server_;
  bool ended_ = false;  ///< the last clientReads() met the end
};

TEST_F(PlainTransportTest, CarriesBytesBothWays) {
  EXPECT_EQ(server_->handshake().status, IoStatus::kDone);
  EXPECT_EQ(serverReads(), "");
  clientSends("ping");
  EXPECT_EQ(serverReads(), "ping");
  server_->write("pong");
  const IoResult sent = server_->send();
  EXPECT_EQ(sent.status, IoStatus::kDone);
  EXPECT_EQ(sent.bytes, 4u);
  EXPECT_EQ(server_->send().bytes, 0u);
  EXPECT_EQ(clientReads(), "pong");
}

TEST_F(PlainTransportTest, TellsBlockedFromEnded) {
  std::array<char, 16> buffer;
  EXPECT_EQ(server_->read(buffer).status, IoStatus::kBlocked);
  ::shutdown(client_.get(), SHUT_WR);
  EXPECT_EQ(server_->read(buffer).status, IoStatus::kEnd);
  server_->write("still");
  EXPECT_EQ(server_->send().status, IoStatus::kDone);
  EXPECT_EQ(clientReads(), "still");
}

TEST_F(PlainTransportTest, HoldsBackWhatASlowReaderDoesNotTake) {
  std::string written;
  for (char c = 'a'; server_->send().status == IoStatus::kDone; c = c == 'z' ? 'a' : c + 1) {
    written += std::string(kBodyChunk, c);
    server_->write(std::string_view(written).substr(written.size() - kBodyChunk));
    ASSERT_LT(written.size(), 64u * 1024 * 1024);
  }
  std::string read = clientReads();
  EXPECT_LT(read.size(), written.size());
  EXPECT_EQ(server_->send().status, IoStatus::kDone);
  read += clientReads();
  EXPECT_EQ(read, written);
}

TEST_F(PlainTransportTest, CountsWhatTheSocketTookOnce) {
  std::size_t written = 0;
  std::size_t told = 0;
  for (IoResult sent{IoStatus::kDone}; sent.status == IoStatus::kDone; told += sent.bytes) {
    server_->write(std::string(kBodyChunk, 'x'));
    written += kBodyChunk;
    sent = server_->send();
  }
  const std::size_t read = clientReads().size();
  EXPECT_EQ(told, read);
  told += server_->send().bytes;
  EXPECT_EQ(told, written);
}

TEST_F(PlainTransportTest, APeerThatIsGoneFails) {
  client_.reset();
  server_->write("x");
  EXPECT_EQ(server_->send().status, IoStatus::kFailed);
}

/// Both ends of a TCP connection: the client's, the server's.
std::pair<UniqueFd, UniqueFd> connectedPair() {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* generic = reinterpret_cast<sockaddr*>(&at);
  EXPECT_EQ(::bind(listener.get(), generic, size), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(::getsockname(listener.get(), generic, &size), 0);
  UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(client.get(), generic, size), 0);
  return {std::move(client), UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK))};
}

/// 0 at the end of the stream, else an errno.
int endingOf(const UniqueFd& client) {
  pollfd ready{client.get(), POLLIN, 0};
  if (::poll(&ready, 1, Deadline().leftMs()) != 1) return ETIMEDOUT;
  char byte = 0;
  return ::recv(client.get(), &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
}

TEST(PlainTransportEnd, APartOfAnAnswerEndsWithAReset) {
  auto [client, server] = connectedPair();
  std::optional<PlainTransport> transport(std::in_place, std::move(server));
  transport.reset();
  EXPECT_EQ(endingOf(client), ECONNRESET);
}

TEST(PlainTransportEnd, AWholeAnswerEndsInOrder) {
  auto [client, server] = connectedPair();
  std::optional<PlainTransport> transport(std::in_place, std::move(server));
  transport->writeLast({});
  EXPECT_EQ(transport->send().status, IoStatus::kDone);
  transport.reset();
  EXPECT_EQ(endingOf(client), 0);
}

std::uint32_t segmentsReceived(const UniqueFd& socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  EXPECT_EQ(::getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return info.tcpi_segs_in;
}

TEST(PlainTransportEnd, TheLastBytesAndTheEndAreOneSegment) {
  auto [client, server] = connectedPair();
  PlainTransport transport(std::move(server));
  const std::uint32_t before = segmentsReceived(client);
  transport.writeLast("pong");
  EXPECT_EQ(transport.send().bytes, 4U);
  const UniqueFd socket = transport.releaseSocket();
  ASSERT_EQ(::shutdown(socket.get(), SHUT_WR), 0);
  std::array<char, 8> got;
  EXPECT_EQ(::recv(client.get(), got.data(), got.size(), MSG_WAITALL), 4);
  EXPECT_EQ(segmentsReceived(client), before + 1);
}

}  // namespace
}  // namespace egalaxyd
