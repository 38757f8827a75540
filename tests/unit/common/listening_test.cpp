#include "common/listening.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "common/unique_fd.h"
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
  ASSERT_TRUE(refuseNewcomers(listener_.get()));
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

INSTANTIATE_TEST_SUITE_P(Both, Listening, testing::Values(AF_INET, AF_INET6),
                         [](const auto& family) { return family.param == AF_INET ? "v4" : "v6"; });

}  // namespace
}  // namespace egalaxyd
