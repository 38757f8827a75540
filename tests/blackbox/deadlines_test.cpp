// Clients that do not move, and those who must not suffer from them.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/blackbox/ask_json.h"
#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

class Deadlines : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Welcome\n");
    capsule.page("large.bin", std::string(20'000'000, 'x'));
  }

  void expectServed() {
    const Reply reply = capsule.get("/");
    EXPECT_EQ(reply.status, 20) << reply;
  }

  std::unique_ptr<GeminiClient> startSlowDownload() {
    TlsSettings settings;
    settings.tcp.receiveBuffer = 16 * 1024;
    auto client = std::make_unique<GeminiClient>(capsule.port(), settings);
    EXPECT_TRUE(client->handshake()) << client->error();
    client->send(capsule.url("/large.bin") + "\r\n");
    return client;
  }

  Capsule capsule;
};

/// Gives one byte every 200 ms until the server has enough of it; how many bytes that took.
template <class SendByte>
std::size_t drip(TcpClient& tcp, std::size_t most, SendByte sendByte) {
  for (std::size_t sent = 0; sent < most; ++sent) {
    if (!sendByte(sent)) return sent;
    pollfd poll{tcp.fd(), POLLIN, 0};
    if (::poll(&poll, 1, 200) != 0) return sent + 1;
  }
  return most;
}

constexpr std::size_t kTooManyBytes = 120;  // 24 s of patience with a client that drips

TEST_F(Deadlines, EndASilentConnection) {
  capsule.set("limits.handshake_timeout", "\"3s\"");
  capsule.start();
  TcpClient client(capsule.port());
  EXPECT_EQ(client.receiveAll(), "");
  EXPECT_NE(client.ending(), Ending::kTimedOut);
  expectServed();
}

TEST_F(Deadlines, EndAnUnfinishedHandshake) {
  capsule.set("limits.handshake_timeout", "\"1s\"");
  capsule.start();
  GeminiClient half(capsule.port());
  const std::string hello = half.takeHello();
  half.tcp().send(hello.substr(0, hello.size() / 2));
  GeminiClient whole(capsule.port());
  whole.tcp().send(whole.takeHello());
  half.tcp().receiveAll();
  EXPECT_NE(half.tcp().ending(), Ending::kTimedOut);
  whole.tcp().receiveAll();
  EXPECT_NE(whole.tcp().ending(), Ending::kTimedOut);
}

TEST_F(Deadlines, CountTheWholeHandshake) {
  capsule.set("limits.handshake_timeout", "\"1s\"");
  capsule.start();
  GeminiClient client(capsule.port());
  const std::string hello = client.takeHello();
  const std::size_t sent = drip(client.tcp(), kTooManyBytes, [&](std::size_t i) {
    return client.tcp().send(hello.substr(i, 1));
  });
  EXPECT_LT(sent, kTooManyBytes);
}

TEST_F(Deadlines, ClientsThatStandStillYieldToOneThatWorks) {
  capsule.set("server.workers", "1");
  capsule.set("limits.connections_per_ip", "0");
  capsule.set("limits.handshake_timeout", "\"1h\"");
  capsule.start();
  std::vector<std::unique_ptr<GeminiClient>> still;
  for (int i = 0; i < 300; ++i) {
    still.push_back(std::make_unique<GeminiClient>(capsule.port()));
    ASSERT_TRUE(still.back()->tcp().send(still.back()->takeHello()));
  }
  expectServed();
}

TEST_F(Deadlines, EndTheWaitForAPlaceOfACrowdThatNeverMoves) {
  capsule.set("server.workers", "1");
  capsule.set("limits.connections_per_ip", "0");
  capsule.set("limits.handshake_timeout", "\"1h\"");
  capsule.set("limits.request_timeout", "\"1s\"");
  capsule.start();
  std::vector<std::unique_ptr<GeminiClient>> still;
  for (int i = 0; i < 600; ++i) {
    still.push_back(std::make_unique<GeminiClient>(capsule.port()));
    ASSERT_TRUE(still.back()->tcp().send(still.back()->takeHello()));
  }
  TlsSettings neighbour;
  neighbour.tcp.from = "127.0.0.2";
  EXPECT_TRUE(eventually([&] { return capsule.get("/", neighbour).status == 20; }));
  // Whoever had a place and gave it back is no timeout.
  EXPECT_TRUE(eventually([&] {
    return askJson(capsule, {"stats"})->getObject("totals")->getValue<int>("timeouts") >= 100;
  }));
}

TEST_F(Deadlines, ACrowdLeavesDescriptorsForThePagesOfThoseWhoAreThere) {
  const rlimit few{256, 256};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  capsule.set("server.workers", "1");
  capsule.set("limits.connections_per_ip", "0");
  capsule.start();
  GeminiClient first(capsule.port());
  ASSERT_TRUE(first.handshake()) << first.error();
  std::vector<std::unique_ptr<TcpClient>> crowd;
  for (int i = 0; i < 220; ++i) crowd.push_back(std::make_unique<TcpClient>(capsule.port()));
  EXPECT_TRUE(capsule.waitForLog("the limit on open files"));
  first.send(capsule.url("/") + "\r\n");
  EXPECT_EQ(first.read(3), "20 ");
  crowd.clear();
  expectServed();
}

TEST_F(Deadlines, HalfAHelloTakesNoMemory) {
  capsule.set("server.workers", "1");
  capsule.set("limits.connections_per_ip", "0");
  capsule.start();
  for (int i = 0; i < 10; ++i) expectServed();
  const pid_t worker = capsule.workerPids().at(0);
  const std::size_t before = anonymousKib(worker);
  std::vector<std::unique_ptr<GeminiClient>> halves;
  for (int i = 0; i < 250; ++i) {
    halves.push_back(std::make_unique<GeminiClient>(capsule.port()));
    const std::string hello = halves.back()->takeHello();
    ASSERT_TRUE(halves.back()->tcp().send(hello.substr(0, hello.size() / 2)));
  }
  expectServed();
  EXPECT_LT(anonymousKib(worker), before + 250 * 12);
}

TEST_F(Deadlines, AClientThatLeavesInItsHelloIsForgotten) {
  capsule.set("limits.connections_per_ip", "1");
  capsule.set("limits.handshake_timeout", "\"1h\"");
  capsule.start();
  GeminiClient half(capsule.port());
  const std::string hello = half.takeHello();
  half.tcp().send(hello.substr(0, hello.size() / 2));
  half.tcp().finish();
  half.tcp().receiveAll();
  EXPECT_NE(half.tcp().ending(), Ending::kTimedOut);
  EXPECT_TRUE(eventually([&] { return capsule.get("/").status == 20; })) << capsule.log();
}

TEST_F(Deadlines, CountTheWholeRequestLine) {
  capsule.set("limits.request_timeout", "\"1s\"");
  capsule.start();
  GeminiClient client(capsule.port());
  ASSERT_TRUE(client.handshake());
  const std::size_t sent =
      drip(client.tcp(), kTooManyBytes, [&](std::size_t) { return client.send("a"); });
  EXPECT_LT(sent, kTooManyBytes);
  const Reply reply = client.readReply();
  EXPECT_EQ(reply.header, "") << reply;
  EXPECT_TRUE(reply.closeNotify) << reply;
}

TEST_F(Deadlines, CountTheWholePROXYHeader) {
  capsule.set("limits.handshake_timeout", "\"1s\"");
  capsule.set("limits.request_timeout", "\"1s\"");
  capsule.set("listen.proxy_protocol_from", "[\"127.0.0.0/8\"]");
  capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
  capsule.start();
  const std::string header = "PROXY TCP4 192.0.2.1 127.0.0.1 40000 1965\r\n";
  for (const std::uint16_t port : {capsule.port(), capsule.spartanPort()}) {
    TcpClient client(port);
    const std::size_t sent = drip(client, header.size(),
                                  [&](std::size_t i) { return client.send(header.substr(i, 1)); });
    EXPECT_LT(sent, header.size());
    client.receiveAll();
    EXPECT_NE(client.ending(), Ending::kTimedOut);
  }
}

TEST_F(Deadlines, CountTheWholeRequestLineOfSpartan) {
  capsule.set("limits.request_timeout", "\"1s\"");
  capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
  capsule.start();
  TcpClient client(capsule.spartanPort());
  const std::size_t sent =
      drip(client, kTooManyBytes, [&](std::size_t) { return client.send("a"); });
  EXPECT_LT(sent, kTooManyBytes);
}

TEST_F(Deadlines, EndADripAfterARefusal) {
  capsule.set("limits.write_timeout", "\"1s\"");
  capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
  capsule.start();
  TcpClient client(capsule.spartanPort());
  ASSERT_TRUE(client.send("localhost / 1000000\r\n"));
  EXPECT_EQ(client.receive().substr(0, 2), "4 ");
  const std::size_t sent =
      drip(client, kTooManyBytes, [&](std::size_t) { return client.send("a"); });
  EXPECT_LT(sent, kTooManyBytes);
}

TEST_F(Deadlines, EndAReaderThatStops) {
  capsule.set("limits.write_timeout", "\"1s\"");
  capsule.start();
  const auto client = startSlowDownload();
  const std::string start = client->read(1000);
  ASSERT_TRUE(capsule.waitForLog("/large.bin\"")) << capsule.log();
  const Reply reply = client->readReply(start);
  EXPECT_LT(reply.body.size(), 20'000'000U);
  EXPECT_FALSE(reply.closeNotify) << reply;
  EXPECT_NE(reply.ending, Ending::kTimedOut) << reply;
}

TEST_F(Deadlines, SpareAReaderThatIsMerelySlow) {
  capsule.set("limits.write_timeout", "\"5s\"");
  capsule.start();
  const auto client = startSlowDownload();
  for (int i = 0; i < 70; ++i) {
    ASSERT_NE(client->read(16 * 1024), "") << "ended in round " << i << "\n" << capsule.log();
    ::poll(nullptr, 0, 100);
  }
}

TEST_F(Deadlines, LeaveOthersAlone) {
  capsule.set("limits.connections_per_ip", "0");
  capsule.start();
  std::vector<std::unique_ptr<TcpClient>> silent;
  std::vector<std::unique_ptr<GeminiClient>> stuck;
  for (int i = 0; i < 300; ++i) silent.push_back(std::make_unique<TcpClient>(capsule.port()));
  for (int i = 0; i < 50; ++i) {
    stuck.push_back(std::make_unique<GeminiClient>(capsule.port()));
    const std::string hello = stuck.back()->takeHello();
    stuck.back()->tcp().send(hello.substr(0, 1 + hello.size() * static_cast<unsigned>(i) / 50));
  }
  for (int i = 0; i < 20; ++i) stuck.push_back(startSlowDownload());
  for (int i = 0; i < 10; ++i) expectServed();
}

TEST_F(Deadlines, LimitTheConnectionsOfOneAddress) {
  constexpr unsigned kMost = 5;
  capsule.set("limits.connections_per_ip", std::to_string(kMost));
  capsule.start();
  std::vector<std::unique_ptr<GeminiClient>> held;
  for (unsigned i = 0; i < kMost; ++i) {
    held.push_back(std::make_unique<GeminiClient>(capsule.port()));
    ASSERT_TRUE(held.back()->handshake()) << i << ": " << held.back()->error();
  }
  TcpClient tooMany(capsule.port());
  EXPECT_EQ(tooMany.receiveAll(), "");
  EXPECT_NE(tooMany.ending(), Ending::kTimedOut);
  TlsSettings neighbour;
  neighbour.tcp.from = "127.0.0.2";
  EXPECT_EQ(capsule.get("/", neighbour).status, 20);
  held.pop_back();
  EXPECT_TRUE(eventually([&] { return capsule.get("/").status == 20; })) << capsule.log();
}

TEST_F(Deadlines, GiveTheAddressesOfADeadWorkerBack) {
  constexpr unsigned kMost = 4;
  capsule.set("limits.connections_per_ip", std::to_string(kMost));
  capsule.start();
  std::vector<std::unique_ptr<GeminiClient>> held;
  for (unsigned i = 0; i < kMost; ++i) {
    held.push_back(std::make_unique<GeminiClient>(capsule.port()));
    ASSERT_TRUE(held.back()->handshake());
  }
  capsule.killWorker(1);
  capsule.killWorker(0);
  EXPECT_TRUE(eventually([&] { return capsule.get("/").status == 20; })) << capsule.log();
}

TEST_F(Deadlines, SurviveMoreConnectionsThanAllowed) {
  capsule.set("limits.connections", "20");
  capsule.set("limits.connections_per_ip", "0");
  capsule.start();
  std::vector<std::unique_ptr<TcpClient>> clients;
  for (int i = 0; i < 60; ++i) clients.push_back(std::make_unique<TcpClient>(capsule.port()));
  clients.clear();
  EXPECT_TRUE(eventually([&] { return capsule.get("/").status == 20; })) << capsule.log();
}

}  // namespace
}  // namespace egalaxyd
