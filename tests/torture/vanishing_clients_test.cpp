// Clients in thousands that come, do a little, and are gone.
#include <gtest/gtest.h>
#include <unistd.h>

#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

class VanishingClients : public testing::Test {
 protected:
  void SetUp() override {
    const int given = testing::UnitTest::GetInstance()->random_seed();
    seed = given != 0 ? static_cast<unsigned>(given) : std::random_device()();
    std::cout << "seed " << seed << '\n';
    capsule.set("limits.connections_per_ip", "0");
    capsule.set("limits.handshake_timeout", "\"3s\"");
    capsule.set("limits.request_timeout", "\"3s\"");
    capsule.set("limits.write_timeout", "\"3s\"");
    capsule.page("index.gmi", "# Welcome\n");
    capsule.page("large.bin", std::string(4'000'000, 'x'));
    capsule.start();
  }

  unsigned seed = 0;
  Capsule capsule;
};

/// One client that leaves at a random point, politely or not.
void comeAndVanish(const Capsule& capsule, std::mt19937& random) {
  const auto below = [&](std::size_t limit) { return random() % limit; };
  GeminiClient client(capsule.port());
  const auto leave = [&] { below(2) == 0 ? client.tcp().reset() : client.tcp().close(); };
  switch (below(6)) {
    case 0:
      return leave();
    case 1: {
      const std::string hello = client.takeHello();
      client.tcp().send(hello.substr(0, below(hello.size() + 1)));
      return leave();
    }
    case 2:
      client.tcp().send(client.takeHello());
      if (below(2) == 0) client.tcp().receive();
      return leave();
    case 3: {
      const std::string line = capsule.url("/large.bin") + "\r\n";
      if (client.handshake()) client.send(line.substr(0, 1 + below(line.size())));
      return leave();
    }
    case 4:
      if (client.handshake()) client.send(capsule.url("/large.bin") + "\r\n");
      for (std::size_t parts = below(20); parts > 0; --parts) client.read(16 * 1024);
      return leave();
    default:
      if (client.handshake()) client.send(capsule.url("/") + "\r\n");
      client.closeNotify();
      if (below(2) == 0) client.readReply();
      return leave();
  }
}

TEST_F(VanishingClients, LeaveNothingBehind) {
  constexpr unsigned kThreads = 4;
  constexpr unsigned kClientsEach = 500;
  const std::vector<pid_t> workers = capsule.workerPids();
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([this, thread] {
      std::mt19937 random(seed + thread);
      for (unsigned i = 0; i < kClientsEach; ++i) comeAndVanish(capsule, random);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_EQ(capsule.workerPids(), workers) << capsule.log();
  if (::geteuid() != 0) GTEST_SKIP() << "only root may count a worker's descriptors";
  const auto openFiles = [&](pid_t worker) {
    std::size_t count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(worker) + "/fd")) {
      if (entry.is_symlink()) ++count;
    }
    return count;
  };
  for (const pid_t worker : workers) {
    EXPECT_TRUE(eventually([&] { return openFiles(worker) < 40; })) << openFiles(worker);
  }
}

TEST_F(VanishingClients, DoNotKeepOthersFromBeingServed) {
  std::mt19937 random(seed);
  std::vector<std::unique_ptr<GeminiClient>> stalled;
  for (int i = 0; i < 300; ++i) {
    stalled.push_back(std::make_unique<GeminiClient>(capsule.port()));
    GeminiClient& client = *stalled.back();
    if (i % 3 == 1) {
      const std::string hello = client.takeHello();
      client.tcp().send(hello.substr(0, random() % hello.size()));
    }
    if (i % 3 == 2 && client.handshake()) client.send(capsule.url("/large.bin") + "\r\n");
    if (i % 20 == 0) {
      EXPECT_EQ(capsule.get("/").status, 20);
    }
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(capsule.get("/").status, 20);
}

}  // namespace
}  // namespace egalaxyd
