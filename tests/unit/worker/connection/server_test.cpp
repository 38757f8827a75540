#include "worker/connection/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/worker/module/site_harness.h"
#include "worker/plan/serving_plan.h"

namespace egalaxyd {
namespace {

class HelloSite final : public Site {
 public:
  void handle(Request, Responder reply, Services&) override {
    std::move(reply).send(Response::gemtext("hello\n"));
  }
};

/// A server of one Spartan listener, with the loop of a harness; clients are plain sockets.
class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    auto* bound = reinterpret_cast<sockaddr*>(&address_);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
    EXPECT_EQ(::listen(listener_.get(), 64), 0);
    EXPECT_EQ(::getsockname(listener_.get(), bound, &size), 0);

    plan_.router = mapOf(std::make_shared<HelloSite>());
    config_.rateLimit.enabled = false;
  }
  ~ServerTest() override {
    if (server_) server_->abortAll("the test has ended");
    turns();
  }

  void start() {
    setup_.plan = &plan_;
    setup_.shared = &harness_.shared();
    // The server closes it.
    setup_.listeners = {{listener_.release(), ListenerKind::kSpartan, ntohs(address_.sin_port)}};
    server_.emplace(setup_, harness_.services(), harness_.storage());
    ASSERT_TRUE(server_->start());
  }
  UniqueFd connect() {
    UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    return client;
  }
  static void ask(const UniqueFd& client) {
    const std::string line = "h.test / 0\r\n";
    ASSERT_EQ(::send(client.get(), line.data(), line.size(), 0), static_cast<ssize_t>(line.size()));
  }
  /// All that came until the server ended its side; "" when it reset the connection.
  std::string answer(const UniqueFd& client) {
    std::string all;
    std::array<char, 512> buffer;
    for (;;) {
      const ssize_t got = ::recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got > 0) all.append(buffer.data(), static_cast<std::size_t>(got));
      if (got == 0 || (got < 0 && errno != EAGAIN)) return all;
      if (got < 0) harness_.turn();
    }
  }
  void turns(int count = 8) {
    for (int i = 0; i < count; ++i) harness_.turn();
  }
  std::int64_t open() { return harness_.shared().total(Gauge::kOpenConnections); }

  static constexpr const char* kHello = "2 text/gemini\r\nhello\n";
  SiteHarness harness_;
  sockaddr_in address_{};
  UniqueFd listener_;
  Config config_;
  ServingPlan plan_{.config = config_};
  WorkerSetup setup_;
  std::optional<Server> server_;
};

TEST_F(ServerTest, AnswersManyAtOnceAndForgetsThem) {
  start();
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(connect());
    ask(clients.back());
  }
  for (const UniqueFd& client : clients) EXPECT_EQ(answer(client), kHello);
  clients.clear();
  harness_.turnUntil([&] { return open() == 0; });
  EXPECT_EQ(server_->exchanges(), 0u);
  EXPECT_EQ(harness_.shared().total(Gauge::kExchanges), 0);
}

TEST_F(ServerTest, RefusesMoreConnectionsOfAnAddressThanItMayHave) {
  config_.limits.connectionsPerIp = 2;
  start();
  const auto first = connect();
  const auto second = connect();
  harness_.turnUntil([&] { return open() == 2; });
  const auto third = connect();
  EXPECT_EQ(answer(third), "");
  EXPECT_EQ(harness_.shared().total(Counter::kConnectionsRefused), 1u);
  ask(first);
  EXPECT_EQ(answer(first), kHello);
}

TEST_F(ServerTest, ClosesConnectionsOfDeniedNetworksUnheard) {
  config_.listen.deny = {*Cidr::parse("192.0.2.0/24"), *Cidr::parse("127.0.0.0/8")};
  start();
  EXPECT_EQ(answer(connect()), "");
  EXPECT_EQ(harness_.shared().total(Counter::kConnectionsDenied), 1u);
  EXPECT_EQ(open(), 0);
}

TEST_F(ServerTest, LetsOthersWaitBeyondItsConnections) {
  config_.limits.connections = 1;
  start();
  auto first = connect();
  harness_.turnUntil([&] { return open() == 1; });
  const auto second = connect();
  ask(second);
  turns();
  EXPECT_EQ(open(), 1);
  first.reset();
  EXPECT_EQ(answer(second), kHello);
}

TEST_F(ServerTest, TakesTheAddressFromATrustedProxyOnly) {
  config_.listen.proxyProtocolFrom = {*Cidr::parse("127.0.0.1/32")};
  start();
  const auto client = connect();
  const std::string header = "PROXY TCP4 198.51.100.9 192.0.2.1 1234 300\r\n";
  ASSERT_GT(::send(client.get(), header.data(), header.size(), 0), 0);
  ask(client);
  EXPECT_EQ(answer(client), kHello);
  const auto bare = connect();
  ask(bare);
  EXPECT_EQ(answer(bare), "");
}

TEST_F(ServerTest, ADrainFinishesThoseWhoAreConnected) {
  start();
  const auto client = connect();
  harness_.turnUntil([&] { return open() == 1; });
  int closed = 0;
  int done = 0;
  server_->drain([&] { ++closed; }, [&] { ++done; });
  turns();
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(done, 0);
  ask(client);
  EXPECT_EQ(answer(client), kHello);
  ::shutdown(client.get(), SHUT_WR);
  harness_.turnUntil([&] { return done > 0; });
  EXPECT_EQ(done, 1);
}

TEST_F(ServerTest, AnAbortEndsAllAtOnce) {
  start();
  const auto first = connect();
  const auto second = connect();
  harness_.turnUntil([&] { return open() == 2; });
  EXPECT_EQ(server_->abortAll("drain timeout"), 2u);
  EXPECT_EQ(answer(first), "");
  EXPECT_EQ(answer(second), "");
  harness_.turnUntil([&] { return open() == 0; });
}

}  // namespace
}  // namespace egalaxyd
