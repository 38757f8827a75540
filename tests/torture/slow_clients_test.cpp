// Crowds of clients that are slow in every way, from many addresses, and an ordinary client beside
// them that must be answered.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/capsule.h"
#include "tests/support/spartan_client.h"

namespace egalaxyd {
namespace {

/// Far beyond what an ordinary client has to wait, and far below what slow ones take.
constexpr std::chrono::milliseconds kPatienceBeside{10'000};

class SlowClients : public testing::Test {
 protected:
  void SetUp() override {
    rlimit files{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 8192) GTEST_SKIP() << "needs 8,192 open files (ulimit -n)";
    capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
    capsule.page("index.gmi", "# Welcome\n");
    capsule.page("large.bin", std::string(4'000'000, 'x'));
    capsule.sites(
        "[sites.localhost]\nroot = \"root\"\nlisting = true\n"
        "upload = { anyone = true, over = [\"titan\", \"spartan\"] }\n");
  }

  /// An address of the crowd, 127.0.1.x; the ordinary client has another.
  static TcpSettings from(int address, int receiveBuffer = 0) {
    return {.from = "127.0.1." + std::to_string(address + 1), .receiveBuffer = receiveBuffer};
  }

  void expectServed() const {
    for (int i = 0; i < 5; ++i) {
      TcpClient plain(capsule.spartanPort());
      const Deadline deadline(kPatienceBeside);
      plain.send("localhost / 0\r\n", deadline);
      EXPECT_EQ(plain.receive(deadline).substr(0, 2), "2 ") << "Spartan, try " << i;
      GeminiClient client(capsule.port());
      const Deadline tlsDeadline(kPatienceBeside);
      EXPECT_TRUE(client.handshake() && client.send(capsule.url("/") + "\r\n")) << client.error();
      EXPECT_EQ(client.readReply({}, tlsDeadline).status, 20) << "Gemini, try " << i;
      EXPECT_FALSE(tlsDeadline.passed());
    }
  }

  /// Lets `drip` do a bit for the crowd, again and again, while an ordinary client asks.
  void expectServedBeside(const std::function<void()>& drip) const {
    std::atomic<bool> done{false};
    std::thread crowd([&] {
      while (!done) {
        drip();
        ::poll(nullptr, 0, 100);
      }
    });
    expectServed();
    ::poll(nullptr, 0, 2'500);  // by now all of the crowd have been here for longer than a moment
    expectServed();
    done = true;
    crowd.join();
  }

  Capsule capsule;
};

TEST_F(SlowClients, ThatUploadAByteAtATimeLeavePlacesForOthers) {
  capsule.start();
  std::vector<std::unique_ptr<TcpClient>> crowd;
  for (int i = 0; i < 2'900; ++i) {
    crowd.push_back(std::make_unique<TcpClient>(capsule.spartanPort(), from(i % 13)));
    crowd.back()->send("localhost /up" + std::to_string(i) + ".txt 1000000\r\n");
  }
  expectServedBeside([&] {
    for (const auto& client : crowd) client->send("x");
  });
}

TEST_F(SlowClients, ThatUploadJustFastEnoughLeavePlacesForOthers) {
  capsule.start();
  std::vector<std::unique_ptr<TcpClient>> crowd;
  for (int i = 0; i < 2'900; ++i) {
    crowd.push_back(std::make_unique<TcpClient>(capsule.spartanPort(), from(i % 13)));
    crowd.back()->send("localhost /up" + std::to_string(i) + ".txt 1000000\r\n");
  }
  const std::string bytes(200, 'x');
  expectServedBeside([&] {
    for (const auto& client : crowd) client->send(bytes);
  });
}

TEST_F(SlowClients, ThatReadAlmostNothingLeavePlacesForOthers) {
  capsule.start();
  std::vector<std::unique_ptr<TcpClient>> crowd;
  for (int i = 0; i < 400; ++i) {
    crowd.push_back(std::make_unique<TcpClient>(capsule.spartanPort(), from(i % 13, 4096)));
    crowd.back()->send("localhost /large.bin 0\r\n");
  }
  expectServedBeside([&] {
    for (const auto& client : crowd) ::recv(client->fd(), std::string(64, ' ').data(), 64, 0);
  });
}

TEST_F(SlowClients, ThatSayAWholeHelloAndNothingElseLeavePlacesForOthers) {
  capsule.start();
  GeminiClient speaker(capsule.port());
  const std::string hello = speaker.takeHello();
  std::vector<std::unique_ptr<TcpClient>> crowd;
  const auto come = [&](int address) {
    crowd.push_back(std::make_unique<TcpClient>(capsule.port(), from(address)));
    crowd.back()->send(hello);
  };
  for (int i = 0; i < 250; ++i) come(0);
  expectServed();
  for (int i = 0; i < 2'000; ++i) come(i % 20);
  expectServedBeside([&] {  // who was cut comes again
    for (int i = 0; i < 20; ++i) {
      pollfd poll{crowd.at(static_cast<std::size_t>(i))->fd(), POLLIN, 0};
      if (::poll(&poll, 1, 0) != 0) come(i);
    }
  });
}

TEST_F(SlowClients, ThatTakeTheirTimeForTheHandshakeLeavePlacesForOthers) {
  capsule.start();
  std::vector<std::unique_ptr<GeminiClient>> crowd;
  for (int i = 0; i < 150; ++i) {
    TlsSettings settings;
    settings.tcp = from(i % 5);
    crowd.push_back(std::make_unique<GeminiClient>(capsule.port(), settings));
    crowd.back()->tcp().send(crowd.back()->takeHello());
  }
  std::size_t next = 0;
  expectServedBeside([&] {
    if (next < crowd.size()) crowd[next++]->handshake();
  });
}

TEST_F(SlowClients, ThatReadTooSlowlyAreCutThoughTheyGoOnReading) {
  capsule.set("limits.download_min_rate", "\"64KiB\"");
  capsule.set("limits.write_timeout", "\"1h\"");
  capsule.start();
  TlsSettings settings;
  settings.tcp.receiveBuffer = 4096;
  const auto start = std::chrono::steady_clock::now();
  TcpClient plain(capsule.spartanPort(), settings.tcp);
  plain.send("localhost /large.bin 0\r\n");
  GeminiClient secret(capsule.port(), settings);
  ASSERT_TRUE(secret.handshake() && secret.send(capsule.url("/large.bin") + "\r\n"));
  const Deadline deadline(std::chrono::seconds(100));
  std::array<char, 1000> sip{};
  ssize_t got = 1;
  while (!deadline.passed()) {  // some 10 KB a second
    got = ::recv(plain.fd(), sip.data(), sip.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) break;
    secret.read(sip.size(), Deadline(std::chrono::milliseconds(10)));
    ::poll(nullptr, 0, 90);
  }
  EXPECT_LT(got, 0) << "a part must not look whole";
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(29));
  EXPECT_TRUE(capsule.waitForLog("read too slowly"));
}

}  // namespace
}  // namespace egalaxyd
