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
  const ListenerSet first = openOrFail(gemini({kAnyPort}));
  const ListenAddress address{"127.0.0.1", first.sockets().at(0).port};
  const ListenerSet old = openOrFail(gemini({address}), {{first.listeners()[0].sockets[0], ""}});
  ListenConfig config = gemini({});
  config.titan = {address};
  const ListenerSet next = openOrFail(config, {}, old);
  EXPECT_EQ(next.sockets().at(0).fd, old.sockets().at(0).fd);
  EXPECT_EQ(next.sockets()[0].kind, ListenerKind::kTitan);
}

TEST(ListenerSet, ClosesWhatNoGenerationUses) {
  ListenerSet set = openOrFail(gemini({kAnyPort, {"localhost", 0}}));
  const int dropped = set.sockets().at(1).fd;
  set = openOrFail(gemini({kAnyPort}), {}, set);
  EXPECT_EQ(set.sockets().size(), 1u);
  EXPECT_EQ(::fcntl(dropped, F_GETFD), -1);
}

TEST(ListenerSet, TakesAnInheritedSocketByItsAddress) {
  const InheritedSocket socket = passed("egalaxyd.socket");
  const ListenAddress address{"127.0.0.1", localPort(socket.fd->get())};
  const auto sockets = openOrFail(gemini({address}), {socket}).sockets();
  ASSERT_EQ(sockets.size(), 1u);
  EXPECT_EQ(sockets[0].fd, socket.fd->get());
}

TEST(ListenerSet, LetsNamedInheritedSocketsStandInForTheirList) {
  const std::vector<InheritedSocket> passedSockets{passed("titan"), passed("gemini"),
                                                   passed("spartan")};
  ListenConfig config = gemini({kAnyPort, kAnyPort});
  const auto sockets = openOrFail(config, passedSockets).sockets();
  ASSERT_EQ(sockets.size(), 3u);
  EXPECT_EQ(sockets[0].fd, passedSockets[1].fd->get());
  EXPECT_EQ(sockets[0].kind, ListenerKind::kGemini);
  EXPECT_EQ(sockets[1].fd, passedSockets[0].fd->get());
  EXPECT_EQ(sockets[1].kind, ListenerKind::kTitan);
  EXPECT_EQ(sockets[2].fd, passedSockets[2].fd->get());
  EXPECT_EQ(sockets[2].kind, ListenerKind::kSpartan);
}

TEST(ListenerSet, RefusesForNowAnAddressThatThisMachineDoesNotHave) {
  const auto set = ListenerSet::open(gemini({{"192.0.2.1", 0}}), {}, {});  // RFC 5737: no one's
  ASSERT_FALSE(set.ok());
  EXPECT_EQ(set.error().code, ErrorCode::kBusy);
  EXPECT_NE(set.error().message.find("192.0.2.1"), std::string::npos);
}

TEST(ListenerSet, ServesWithoutSpartanWhereItsAddressIsTakenAndMayBe) {
  const ListenerSet other = openOrFail(gemini({kAnyPort}));
  ListenConfig config = gemini({kAnyPort});
  config.spartan = {{"127.0.0.1", other.sockets()[0].port}};
  const auto insisting = ListenerSet::open(config, {}, {}, nullptr, /*spartanMayFail=*/false);
  ASSERT_FALSE(insisting.ok());
  EXPECT_EQ(insisting.error().code, ErrorCode::kExists);
  const auto without = ListenerSet::open(config, {}, {}, nullptr, /*spartanMayFail=*/true);
  ASSERT_TRUE(without.ok()) << without.error().message;
  ASSERT_EQ(without->listeners().size(), 1u);
  EXPECT_EQ(without->listeners()[0].kind, ListenerKind::kGemini);
  config.gemini = {};  // nothing would be left
  EXPECT_FALSE(ListenerSet::open(config, {}, {}, nullptr, /*spartanMayFail=*/true).ok());
}

ListenerSet withStatusPage(const std::vector<ListenAddress>& status, const ListenerSet& previous) {
  auto opened = ListenerSet::open(gemini({kAnyPort}), {}, previous, nullptr, false, status);
  if (opened.ok()) return std::move(opened).value();
  ADD_FAILURE() << opened.error().message;
  return {};
}

TEST(ListenerSet, KeepsTheStatusPageFromWorkers) {
  const ListenerSet set = withStatusPage({kAnyPort}, {});
  ASSERT_EQ(set.sockets().size(), 1u);
  ASSERT_EQ(set.statusSockets().size(), 1u);
  EXPECT_NE(set.sockets()[0].fd, set.statusSockets()[0]->get());
  EXPECT_EQ(set.listeners().size(), 2u) << "the master mends and shows both";
  const ListenerSet next = withStatusPage({kAnyPort}, set);
  EXPECT_EQ(next.statusSockets(), set.statusSockets());
  EXPECT_TRUE(withStatusPage({}, set).statusSockets().empty());
}

TEST(ListenerSet, ASocketThatWorkersHadDoesNotBecomeTheStatusPages) {
  const std::uint16_t port = openOrFail(gemini({kAnyPort})).sockets()[0].port;  // free again
  const ListenAddress address{"127.0.0.1", port};
  const ListenerSet old = openOrFail(gemini({address}));
  const auto moved = ListenerSet::open(gemini({kAnyPort}), {}, old, nullptr, false, {address});
  ASSERT_FALSE(moved.ok()) << "old workers may still be draining it";
  EXPECT_NE(moved.error().message.find("this server's own listener"), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd
