#include "master/supervise/listener_set.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace egalaxyd {
namespace {

const ListenAddress kAnyPort{"127.0.0.1", 0};

ListenConfig gemini(std::vector<ListenAddress> addresses) {
  ListenConfig config;
  config.spartan = {};
  config.gemini = std::move(addresses);
  return config;
}

ListenerSet openOrFail(const ListenConfig& config,
                       const std::vector<InheritedSocket>& inherited = {},
                       const ListenerSet& previous = {}) {
  auto opened = ListenerSet::open(config, inherited, previous);
  if (opened.ok()) return std::move(opened).value();
  ADD_FAILURE() << opened.error().message;
  return {};
}

bool canConnect(std::uint16_t port) {
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(fd, level, name, &value, &size);
  return value;
}

/// A socket as systemd would pass it.
InheritedSocket passed(const std::string& name) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  EXPECT_EQ(::listen(fd.get(), 1), 0);
  return {std::make_shared<const ListeningSocket>(std::move(fd)), name};
}

TEST(ListenerSet, ReadsTheRealPortBack) {
  const ListenerSet set = openOrFail(gemini({kAnyPort}));
  ASSERT_EQ(set.sockets().size(), 1u);
  EXPECT_NE(set.sockets()[0].port, 0);
  EXPECT_EQ(set.sockets()[0].kind, ListenerKind::kGemini);
  EXPECT_TRUE(canConnect(set.sockets()[0].port));
}

TEST(ListenerSet, OpensNonBlockingSocketsThatNoProgramInherits) {
  const ListenerSet set = openOrFail(gemini({kAnyPort}));
  const int fd = set.sockets().at(0).fd;
  EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST(ListenerSet, NeverSharesAPortWithAnotherServer) {
  const ListenerSet set = openOrFail(gemini({kAnyPort}));
  EXPECT_EQ(option(set.sockets().at(0).fd, SOL_SOCKET, SO_REUSEPORT), 0);
  const ListenAddress taken{"127.0.0.1", set.sockets()[0].port};
  const auto second = ListenerSet::open(gemini({taken}), {}, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
  EXPECT_NE(second.error().message.find(taken.text()), std::string::npos);
}

TEST(ListenerSet, ServesBothFamiliesWithoutAHost) {
  const ListenerSet set = openOrFail(gemini({{"", 0}}));
  ASSERT_EQ(set.sockets().size(), 1u);
  EXPECT_TRUE(canConnect(set.sockets()[0].port));
  if (option(set.sockets()[0].fd, SOL_SOCKET, SO_DOMAIN) == AF_INET6) {
    EXPECT_EQ(option(set.sockets()[0].fd, IPPROTO_IPV6, IPV6_V6ONLY), 0);
  }
}

TEST(ListenerSet, MarksSocketsWithTheirProtocol) {
  ListenConfig config = gemini({kAnyPort});
  config.titan = {kAnyPort};
  config.spartan = {kAnyPort};
  const ListenerSet set = openOrFail(config);
  const auto sockets = set.sockets();
  ASSERT_EQ(sockets.size(), 3u);
  EXPECT_EQ(sockets[1].kind, ListenerKind::kTitan);
  EXPECT_EQ(sockets[2].kind, ListenerKind::kSpartan);
  EXPECT_TRUE(canConnect(sockets[2].port));
}

TEST(ListenerSet, KeepsTheSocketsOfAddressesThatDidNotChange) {
  const ListenerSet old = openOrFail(gemini({kAnyPort, kAnyPort}));
  const ListenerSet next = openOrFail(gemini({kAnyPort, kAnyPort}), {}, old);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(next.sockets().at(i).fd, old.sockets().at(i).fd);
  }
}

TEST(ListenerSet, KeepsAnAddressThatMovesToAnotherList) {
  const std::uint16_t port = openOrFail(gemini({kAnyPort})).sockets()[0].port;  // free again
  const ListenAddress address{"127.0.0.1", port};
  const ListenerSet old = openOrFail(gemini({address}));
  const auto moved = ListenerSet::open(gemini({kAnyPort}), {}, old, nullptr, false, {address});
  ASSERT_FALSE(moved.ok()) << "old workers may still be draining it";
  EXPECT_NE(moved.error().message.find("status.listen"), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd
