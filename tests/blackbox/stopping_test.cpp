// A server that leaves an address: each client is answered or refused, none is cut off.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

/// Clients that ask again and again until the server refuses them, as a proxy's would.
class Crowd {
 public:
  static constexpr int kClients = 16;

  Crowd(const std::string& address, std::uint16_t port) {
    settings_.tcp.address = address;
    for (int i = 0; i < kClients; ++i) threads_.emplace_back([this, port] { ask(port); });
  }
  ~Crowd() { waitUntilRefused(); }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  bool waitForAnswers(int most) const {
    return eventually([&] { return answered_ >= most; });
  }
  void waitUntilRefused() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  /// One line for each who was connected and not answered; after waitUntilRefused().
  std::string cutOff() const {
    const MutexLock lock(mutex_);
    return cutOff_;
  }

 private:
  void ask(std::uint16_t port) {
    const std::string request = "gemini://localhost:" + std::to_string(port) + "/\r\n";
    for (;;) {
      GeminiClient client(port, settings_);
      if (client.tcp().ending() == Ending::kReset) return;
      Reply reply;
      if (client.handshake()) {
        client.send(request);
        reply = client.readReply();
      }
      if (!reply.complete()) {
        const MutexLock lock(mutex_);
        cutOff_ += reply.error + client.error() + describe(client.tcp().ending()) + "\n";
        return;
      }
      ++answered_;
    }
  }

  TlsSettings settings_;
  std::atomic<int> answered_{0};
  mutable Mutex mutex_;
  std::string cutOff_ EGALAXYD_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

/// Only root's server can keep newcomers out while it takes those who are there.
const bool kMayRefuse = ::geteuid() == 0;

class Leaving : public testing::Test {
 protected:
  Leaving() {
    capsule.page("index.gmi", "# One\n");
    capsule.set("listen.gemini", R"(["127.0.0.1:0", "127.0.0.2:0"])");
    capsule.start();
  }
  /// A client that has shaken hands and thinks: its worker cannot leave yet.
  void expectServedLate(GeminiClient& held) {
    held.send(capsule.url("/") + "\r\n");
    const Reply reply = held.readReply();
    EXPECT_TRUE(reply.complete()) << reply;
  }

  Capsule capsule;
};

TEST_F(Leaving, AtAStopAnswersOrRefusesEveryClient) {
  GeminiClient held(capsule.port());
  ASSERT_TRUE(held.handshake()) << held.error();
  Crowd crowd("127.0.0.1", capsule.port());
  ASSERT_TRUE(crowd.waitForAnswers(2 * Crowd::kClients));
  capsule.process().signal(SIGTERM);
  crowd.waitUntilRefused();
  if (kMayRefuse) {
    EXPECT_EQ(crowd.cutOff(), "") << capsule.log();
  }
  EXPECT_TRUE(capsule.process().running()) << "nobody was refused only because it had ended";
  expectServedLate(held);
  const auto end = capsule.process().wait();
  ASSERT_TRUE(end) << capsule.log();
  EXPECT_EQ(end->code, 0) << capsule.log();
  capsule.abandon();
}

TEST_F(Leaving, AnAddressAtAReloadAnswersOrRefusesEveryClientThere) {
  Crowd crowd("127.0.0.2", capsule.port(1));
  ASSERT_TRUE(crowd.waitForAnswers(2 * Crowd::kClients));
  capsule.set("listen.gemini", R"(["127.0.0.1:0"])");
  capsule.writeConfig();
  const Finished reload = capsule.ctl({"reload"});
  EXPECT_EQ(reload.status.code, 0) << reload.all();
  crowd.waitUntilRefused();
  if (kMayRefuse) {
    EXPECT_EQ(crowd.cutOff(), "") << capsule.log();
  }
  EXPECT_EQ(capsule.get("/").status, 20);
}

}  // namespace
}  // namespace egalaxyd
