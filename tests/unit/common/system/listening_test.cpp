#include "common/system/listening.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "common/base/unique_fd.h"
#include "tests/support/tcp_client.h"

namespace egalaxyd {
namespace {

class Listening : public testing::TestWithParam<int> {
 protected:
  Listening() : listener_(::socket(GetParam(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_storage address{};
    address.ss_family = static_cast<sa_family_t>(GetParam());
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), generic,
                     GetParam() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)),
              0);
    ::listen(listener_.get(), 16);
    ::getsockname(listener_.get(), generic, &size);
    port_ = ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
    settings_.address = GetParam() == AF_INET ? "127.0.0.1" : "::1";
  }
  UniqueFd accept() { return UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

  UniqueFd listener_;
  std::uint16_t port_ = 0;
  TcpSettings settings_;
};

TEST_P(Listening, KeepsThoseWhoCameAndNobodyElse) {
  TcpClient early(port_, settings_);
  if (early.ending() != Ending::kOpen) GTEST_SKIP() << "no such protocol here";
  EXPECT_FALSE(refusesNewcomers(listener_.get()));
  const auto refused = refuseNewcomers(listener_.get());
  if (!refused && refused.error().code == ErrorCode::kPermission && ::geteuid() != 0) {
    GTEST_SKIP() << "this kernel lets CAP_NET_ADMIN alone filter a socket";
  }
  ASSERT_TRUE(refused) << refused.error().message;
  EXPECT_TRUE(refusesNewcomers(listener_.get()));

  Ending late = Ending::kOpen;
  std::thread latecomer([&] { late = TcpClient(port_, settings_).ending(); });
  const UniqueFd accepted = accept();
  ASSERT_TRUE(accepted);
  early.send("question");
  char text[16];
  EXPECT_EQ(::recv(accepted.get(), text, sizeof text, 0), 8);
  EXPECT_EQ(::send(accepted.get(), "answer", 6, 0), 6);
  EXPECT_EQ(early.receive(), "answer");
  EXPECT_FALSE(accept());
  listener_.reset();
  latecomer.join();
  EXPECT_EQ(late, Ending::kReset) << "refused once nobody listens";
}

class SharedListener : public Listening {
 protected:
  SharedListener() : shared_(std::move(listener_)) {}
  bool isReached() { return TcpClient(port_, settings_).ending() == Ending::kOpen; }
  bool hasProtocol() { return shared_.listens() && isReached(); }
  /// At a service elsewhere, as code in a worker without seccomp could connect a listener.
  void connectElsewhere() {
    const UniqueFd service(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::listen(service.get(), 4), 0);
    sockaddr_in6 there{};
    socklen_t size = sizeof there;
    ::getsockname(service.get(), reinterpret_cast<sockaddr*>(&there), &size);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = there.sin6_port;
    v6.sin6_addr = in6addr_loopback;
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = there.sin6_port;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool isV4 = GetParam() == AF_INET;
    ::sendto(shared_.get(), "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL,
             isV4 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6),
             isV4 ? sizeof v4 : sizeof v6);
  }

  const ListeningSocket shared_;
};

TEST_P(SharedListener, IsLeftAloneWhileAllIsWell) { EXPECT_EQ(shared_.mend().value(), ""); }

TEST_P(SharedListener, ListensAgainOnItsPortAfterAShutdown) {
  if (!hasProtocol()) GTEST_SKIP() << "no such protocol here";
  for (const int how : {SHUT_RD, SHUT_RDWR}) {
    ASSERT_EQ(::shutdown(shared_.get(), how), 0);
    EXPECT_FALSE(shared_.listens());
    EXPECT_FALSE(isReached());
    EXPECT_EQ(shared_.mend().value(), "it had stopped listening");
    EXPECT_TRUE(shared_.listens());
    EXPECT_TRUE(isReached());
  }
}

TEST_P(SharedListener, ListensAgainOnceItWasMadeAConnection) {
  if (!hasProtocol()) GTEST_SKIP() << "no such protocol here";
  ASSERT_EQ(::shutdown(shared_.get(), SHUT_RDWR), 0);
  connectElsewhere();
  EXPECT_EQ(shared_.mend().value(), "it had stopped listening");
  EXPECT_TRUE(isReached());
}

TEST_P(SharedListener, HasItsOptionsBack) {
  const linger reset{1, 0};
  const int many = 100'000;
  ::setsockopt(shared_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  ::setsockopt(shared_.get(), SOL_SOCKET, SO_RCVLOWAT, &many, sizeof many);
  ::fcntl(shared_.get(), F_SETFL, 0);
  EXPECT_EQ(shared_.mend().value(), "its options were changed");
  EXPECT_NE(::fcntl(shared_.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(shared_.mend().value(), "");
}

TEST_P(SharedListener, SaysThatItsPortIsTaken) {
  if (!hasProtocol()) GTEST_SKIP() << "no such protocol here";
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ::getsockname(shared_.get(), generic, &size);
  ASSERT_EQ(::shutdown(shared_.get(), SHUT_RDWR), 0);
  const UniqueFd thief(::socket(GetParam(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(thief.get(), generic, size) != 0) GTEST_SKIP() << "the port stays taken";
  ASSERT_EQ(::listen(thief.get(), 1), 0);
  EXPECT_FALSE(shared_.mend());
}

INSTANTIATE_TEST_SUITE_P(Both, SharedListener, testing::Values(AF_INET, AF_INET6),
                         [](const auto& family) { return family.param == AF_INET ? "v4" : "v6"; });

INSTANTIATE_TEST_SUITE_P(Both, Listening, testing::Values(AF_INET, AF_INET6),
                         [](const auto& family) { return family.param == AF_INET ? "v4" : "v6"; });

}  // namespace
}  // namespace egalaxyd
