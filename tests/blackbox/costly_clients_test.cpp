// Clients whose bytes are cheap to send and costly to deal with.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/capsule.h"
#include "tests/support/deadline.h"
#include "tests/support/spartan_client.h"

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

std::string number(std::size_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    text += static_cast<char>(value >> shift);
  }
  return text;
}

std::string vector(int lengthBytes, const std::string& content) {
  return number(content.size(), lengthBytes) + content;
}

/// In handshake records of TLS 1.2, where a client's certificate is not encrypted.
std::string records(std::string message) {
  std::string all;
  for (; !message.empty(); message.erase(0, 16'000)) {
    all += "\x16\x03\x03" + vector(2, message.substr(0, 16'000));
  }
  return all;
}

std::string chainMessage(int certificates) {
  const std::string one = vector(3, costlyCertificate());
  std::string all;
  for (int i = 0; i < certificates; ++i) all += one;
  return "\x0B" + vector(3, vector(3, all));
}

class CostlyClients : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Welcome\n");
    capsule.start();
    workers = capsule.workerPids();
  }

  void TearDown() override { EXPECT_EQ(capsule.workerPids(), workers); }

  std::chrono::milliseconds spent() const {
    std::chrono::milliseconds all{0};
    for (const pid_t worker : workers) all += cpuTime(worker);
    return all;
  }

  void expectServed() {
    const Reply reply = capsule.get("/");
    EXPECT_EQ(reply.status, 20) << reply;
    EXPECT_TRUE(reply.complete()) << reply;
  }

  Capsule capsule;
  std::vector<pid_t> workers;
};

TlsSettings exactly(int version) {
  TlsSettings settings;
  settings.minVersion = version;
  settings.maxVersion = version;
  return settings;
}

/// A dozen of the short chains would take four seconds, and as many of the long ones two minutes.
TEST_F(CostlyClients, AChainOfCostlyKeysIsRefusedUnread) {
  for (const int certificates : {3, 66}) {
    const auto before = spent();
    std::vector<std::unique_ptr<GeminiClient>> clients;
    for (int i = 0; i < 12; ++i) {
      clients.push_back(std::make_unique<GeminiClient>(capsule.port(), exactly(TLS1_2_VERSION)));
      TcpClient& tcp = clients.back()->tcp();
      tcp.send(clients.back()->takeHello());
      ASSERT_NE(tcp.receive(), "");
      tcp.send(records(chainMessage(certificates)));
    }
    expectServed();
    for (const auto& client : clients) {
      client->tcp().receiveAll();
      EXPECT_NE(client->tcp().ending(), Ending::kTimedOut);
    }
    expectServed();
    EXPECT_LT(spent() - before, 1s) << certificates;
  }
}

/// What OpenSSL does with these two lists grows with the product of their lengths: 20 ms for one.
TEST_F(CostlyClients, AHelloWithLongListsIsRefusedUnread) {
  std::string groups;
  std::string shares;
  for (int i = 0; i < 30'000; ++i) groups += "\x0A\x0A";
  for (int i = 0; i < 1000; ++i) shares += "\xFE\xFE\x00\x01x"s;
  const auto extension = [](char type, const std::string& content) {
    return "\0"s + type + vector(2, content);
  };
  const std::string extensions =
      extension('\x2B', vector(1, "\x03\x04")) + extension('\x0D', vector(2, "\x04\x03")) +
      extension('\x0A', vector(2, groups + "\xFE\xFE")) + extension('\x33', vector(2, shares));
  const std::string hello = records(
      "\x01" + vector(3, "\x03\x03" + std::string(32, 'r') + vector(1, "") + vector(2, "\x13\x01") +
                             vector(1, "\0"s) + vector(2, extensions)));
  const auto before = spent();
  for (int i = 0; i < 100; ++i) {
    TcpClient client(capsule.port());
    client.send(hello);
    client.receiveAll();
    EXPECT_NE(client.ending(), Ending::kTimedOut);
  }
  EXPECT_LT(spent() - before, 1s);
  expectServed();
}

TEST_F(CostlyClients, AFloodOfKeyUpdatesEndsAndCostsNoMemory) {
  expectServed();
  std::vector<std::size_t> memory;
  for (const pid_t worker : workers) memory.push_back(anonymousKib(worker));
  const auto before = spent();
  for (int i = 0; i < 20; ++i) {
    GeminiClient client(capsule.port(), exactly(TLS1_3_VERSION));
    ASSERT_TRUE(client.handshake());
    for (int update = 0; update < 3000; ++update) {
      SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED);
      SSL_do_handshake(client.ssl());
    }
    client.tcp().send(client.takeHello());  // all those updates
    client.tcp().receiveAll();
    EXPECT_NE(client.tcp().ending(), Ending::kTimedOut);
  }
  expectServed();
  EXPECT_LT(spent() - before, 2s);
#ifndef EGALAXYD_SANITIZED  // they keep what was freed
  for (std::size_t i = 0; i < workers.size(); ++i) {
    EXPECT_LT(anonymousKib(workers[i]), memory[i] + 8 * 1024);
  }
#endif
}

/// One client that sends lines which are refused, as fast as it can.
class FloodOfRefusals : public testing::Test {
 protected:
  FloodOfRefusals() {
    capsule.page("index.gmi", "# Welcome\n");
    capsule.set("rate_limit.enabled", "true");
    capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
    flooder.tcp.from = "127.0.0.2";
    capsule.start();
  }

  int nonsense(bool overSpartan) {
    const std::string line = std::string(900, 'x') + "\r\n";
    if (overSpartan) return askSpartan(capsule.spartanPort(), line, flooder.tcp).status;
    return exchange(capsule.port(), line, flooder).status;
  }

  /// The statuses that it got until it had these among them; 0 for a connection that was closed.
  std::map<int, int> flood(bool overSpartan, const std::vector<int>& wanted) {
    std::map<int, int> statuses;
    std::mutex mutex;
    const Deadline deadline;
    std::atomic<bool> isThere = false;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        while (!isThere && !deadline.passed()) {
          const int status = nonsense(overSpartan);
          const std::lock_guard lock(mutex);
          ++statuses[status];
          isThere = std::ranges::all_of(wanted, [&](int one) { return statuses.contains(one); });
        }
      });
    }
    for (int i = 0; i < 5; ++i) {
      const Reply reply = capsule.get("/");
      EXPECT_EQ(reply.status, 20) << reply;
    }
    threads.clear();  // waits for them
    return statuses;
  }

  Capsule capsule;
  TlsSettings flooder;
};

TEST_F(FloodOfRefusals, IsShortInTheLogAndSoonClosed) {
  const std::size_t mark = capsule.logMark();
  const auto began = std::chrono::steady_clock::now();
  const std::map<int, int> gemini = flood(false, {59, 44});
  const std::map<int, int> spartan = flood(true, {4, 0});
  EXPECT_LE(gemini.at(59), 20);
  EXPECT_GT(gemini.at(44), 0);
  EXPECT_GT(spartan.at(4), 0);
  EXPECT_GT(spartan.at(0), 0) << "after some answers in a second, it is closed";
  EXPECT_TRUE(capsule.waitForLog(" more refused from 127.0.0.0", mark));
  EXPECT_TRUE(eventually([&] {
    const int status = nonsense(false);
    return status == 44;
  })) << "the next second";
  capsule.stop();
  const auto seconds =
      std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - began);
  std::istringstream log(capsule.log().substr(mark));
  std::size_t refused = 0;
  for (std::string line; std::getline(log, line);) {
    if (line.find("xxx") == std::string::npos && line.find("refused") == std::string::npos)
      continue;
    ++refused;
    EXPECT_LT(line.size(), 400u) << line;
  }
  // A line and one for all others, of each worker in each second.
  EXPECT_LE(refused, 2u * 2u * (static_cast<std::size_t>(seconds.count()) + 1));
}

}  // namespace
}  // namespace egalaxyd
