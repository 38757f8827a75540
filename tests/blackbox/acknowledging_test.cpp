// What Nagle's algorithm makes of a server that is slow to acknowledge: a client without
// TCP_NODELAY holds its next bytes back until the last ones were acknowledged.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "tests/support/capsule.h"
#include "worker/transport/unreceived.h"

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using Time = std::chrono::steady_clock::duration;

/// The kernel keeps an acknowledgement back for at least 40 ms where it does so at all.
constexpr auto kKeptBack = 35ms;
/// One of so many is quick on the slowest machine.
constexpr int kTries = 20;

class Acknowledging : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Welcome\n");
    capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
    capsule.sites(
        "[sites.localhost]\nroot = \"root\"\nupload = { anyone = true, "
        "over = [\"titan\", \"spartan\"] }\n");
    capsule.start();
  }

  /// Until the server's kernel has all that `client` has sent.
  static Time untilAcknowledged(TcpClient& client) {
    const auto start = std::chrono::steady_clock::now();
    const Deadline deadline;
    while (unreceivedBytes(client.fd()) > 0 && !deadline.passed()) ::poll(nullptr, 0, 1);
    return std::chrono::steady_clock::now() - start;
  }

  std::unique_ptr<GeminiClient> shakeHands() const {
    auto client = std::make_unique<GeminiClient>(capsule.port());
    EXPECT_TRUE(client->handshake()) << client->error();
    return client;
  }

  Capsule capsule;
};

TEST_F(Acknowledging, AFinishedHandshakeAtOnce) {
  Time fastest = 1h;
  for (int i = 0; i < kTries; ++i) {
    const auto client = shakeHands();
    fastest = std::min(fastest, untilAcknowledged(client->tcp()));
  }
  EXPECT_LT(fastest, kKeptBack);
}

TEST_F(Acknowledging, TheLineOfAnUploadAtOnce) {
  Time fastest = 1h;
  for (int i = 0; i < kTries; ++i) {
    const auto client = shakeHands();
    const std::string port = std::to_string(capsule.port());
    client->send("titan://localhost:" + port + "/up.gmi;size=5\r\n");
    fastest = std::min(fastest, untilAcknowledged(client->tcp()));
    client->send("12345");
    EXPECT_EQ(client->readReply().status, 30) << capsule.log();
  }
  EXPECT_LT(fastest, kKeptBack);
}

TEST_F(Acknowledging, PartsOfAnUploadOverSpartanAtOnce) {
  Time fastest = 1h;
  for (int i = 0; i < kTries; ++i) {
    TcpClient client(capsule.spartanPort());
    client.send("localhost /up.gmi 6\r\n");
    untilAcknowledged(client);
    client.send("123");
    fastest = std::min(fastest, untilAcknowledged(client));
    client.send("456");
    EXPECT_EQ(client.receiveAll().substr(0, 2), "3 ") << capsule.log();
  }
  EXPECT_LT(fastest, kKeptBack);
}

}  // namespace
}  // namespace egalaxyd
