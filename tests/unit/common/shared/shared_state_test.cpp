#include "common/shared/shared_state.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <functional>
#include <string>

namespace egalaxyd {
namespace {

class SharedStateTest : public testing::Test {
 protected:
  void SetUp() override {
    auto created = SharedState::create();
    ASSERT_TRUE(created.ok());
    state_ = std::move(created).value();
  }
  static IpAddress address(const char* text) { return IpAddress::parse(text).value(); }

  std::unique_ptr<SharedState> state_;
};

TEST_F(SharedStateTest, StartsAtZero) {
  EXPECT_EQ(state_->total(Counter::kConnections), 0u);
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 0);
}

TEST_F(SharedStateTest, SumsOverAllWorkers) {
  state_->slot(0).add(Counter::kConnections, 3);
  state_->slot(7).add(Counter::kConnections);
  state_->slot(SharedState::kSlots - 1).add(Counter::kConnections, 5);
  state_->slot(7).add(Gauge::kOpenConnections, 2);
  EXPECT_EQ(state_->total(Counter::kConnections), 9u);
  EXPECT_EQ(state_->total(Counter::kHandshakes), 0u);
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 2);
}

TEST_F(SharedStateTest, KeepsTotalsAndForgetsWhatADeadWorkerHeld) {
  const IpAddress client = address("192.0.2.1");
  state_->slot(1).add(Counter::kConnections, 4);
  state_->slot(1).add(Gauge::kOpenConnections, 4);
  ASSERT_TRUE(state_->takeAddress(1, PerAddress::kConnections, client, 1));
  state_->workerGone(1);
  EXPECT_EQ(state_->total(Counter::kConnections), 4u);
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 0);
  EXPECT_TRUE(state_->takeAddress(0, PerAddress::kConnections, client, 1));
}

TEST_F(SharedStateTest, CountsAnswersByProtocolAndStatus) {
  state_->slot(0).addAnswer(Protocol::kGemini, 20);
  state_->slot(3).addAnswer(Protocol::kGemini, 20);
  state_->slot(3).addAnswer(Protocol::kTitan, 59);
  state_->slot(3).addAnswer(Protocol::kSpartan, 2);
  EXPECT_EQ(state_->answers(Protocol::kGemini, 20), 2u);
  EXPECT_EQ(state_->answers(Protocol::kTitan, 59), 1u);
  EXPECT_EQ(state_->answers(Protocol::kSpartan, 2), 1u);
  EXPECT_EQ(state_->answers(Protocol::kTitan, 20), 0u);
}

TEST_F(SharedStateTest, AddsUpTheAnswersOfAllProtocols) {
  state_->slot(0).addAnswer(Protocol::kGemini, 20);
  state_->slot(3).addAnswer(Protocol::kSpartan, 2);
  state_->slot(3).addAnswer(Protocol::kSpartan, 5);
  state_->slot(3).addAnswer(Protocol::kTitan, 59);
  state_->slot(3).addAnswer(Protocol::kGemini, kStatusEnd - 1);
  EXPECT_EQ(state_->total(Counter::kRequests), 5u);
  EXPECT_EQ(state_->slot(3).value(Counter::kRequests), 4u);
  EXPECT_EQ(state_->total(Counter::kStatus1x), 0u);
  EXPECT_EQ(state_->total(Counter::kStatus2x), 2u);
  EXPECT_EQ(state_->total(Counter::kStatus5x), 2u);
  EXPECT_EQ(state_->total(Counter::kStatus6x), 1u);
}

TEST_F(SharedStateTest, SumsLatenciesOverAllWorkersAndKeepsThem) {
  using namespace std::chrono_literals;
  state_->slot(0).addLatency(Protocol::kGemini, Span::kRequest, 5us);
  state_->slot(4).addLatency(Protocol::kGemini, Span::kRequest, 9us);
  state_->workerGone(4);
  const Latencies all = state_->latencies(Protocol::kGemini, Span::kRequest);
  EXPECT_EQ(all.count(), 2u);
  EXPECT_EQ(all.quantile(1), 9'500ns);
  EXPECT_EQ(state_->latencies(Protocol::kGemini, Span::kHandshake).count(), 0u);
  EXPECT_EQ(state_->latencies(Protocol::kTitan, Span::kRequest).count(), 0u);
}

TEST_F(SharedStateTest, LimitsAnAddressOverAllWorkers) {
  const IpAddress client = address("192.0.2.1");
  EXPECT_TRUE(state_->takeAddress(0, PerAddress::kConnections, client, 2));
  EXPECT_TRUE(state_->takeAddress(5, PerAddress::kConnections, client, 2));
  EXPECT_FALSE(state_->takeAddress(0, PerAddress::kConnections, client, 2));
  EXPECT_FALSE(state_->takeAddress(9, PerAddress::kConnections, client, 2));
  state_->releaseAddress(5, PerAddress::kConnections, client);
  EXPECT_TRUE(state_->takeAddress(9, PerAddress::kConnections, client, 2));
}

TEST_F(SharedStateTest, CountsOneAddressApartFromAnother) {
  EXPECT_TRUE(state_->takeAddress(0, PerAddress::kConnections, address("192.0.2.1"), 1));
  EXPECT_TRUE(state_->takeAddress(0, PerAddress::kConnections, address("192.0.2.2"), 1));
  EXPECT_FALSE(state_->takeAddress(0, PerAddress::kConnections, address("192.0.2.1"), 1));
}

TEST_F(SharedStateTest, CountsAnIpv6NetworkAsOneClient) {
  EXPECT_TRUE(state_->takeAddress(0, PerAddress::kConnections, address("2001:db8:1:2::1"), 1));
  EXPECT_FALSE(
      state_->takeAddress(0, PerAddress::kConnections, address("2001:db8:1:2:ffff::9"), 1));
  EXPECT_TRUE(state_->takeAddress(0, PerAddress::kConnections, address("2001:db8:1:3::1"), 1));
}

TEST_F(SharedStateTest, NeverRefusesWithoutALimit) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(state_->takeAddress(0, PerAddress::kConnections, address("192.0.2.1"), 0));
  }
}

TEST_F(SharedStateTest, ReturnsToZeroWhenAllIsReleased) {
  for (int i = 0; i < 200; ++i) {
    const IpAddress client = address(("198.51.100." + std::to_string(i)).c_str());
    ASSERT_TRUE(state_->takeAddress(3, PerAddress::kConnections, client, 0));
    state_->releaseAddress(3, PerAddress::kConnections, client);
  }
  for (const auto& row : state_->slot(3).addresses[0].rows) {
    for (const auto& bucket : row) ASSERT_EQ(bucket.load(), 0);
  }
}

// --- processes that were taken over ---

/// How a process that did `deed` ended: "" as it should, else "signal 11", "exit 1".
std::string endOfProcess(const std::function<bool()>& deed) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(deed() ? 0 : 1);
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return "no child";
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return signal == SIGSEGV || signal == SIGBUS ? "fault" : "signal " + std::to_string(signal);
  }
  return WEXITSTATUS(status) == 0 ? "" : "exit " + std::to_string(WEXITSTATUS(status));
}

#ifdef EGALAXYD_SANITIZED
constexpr bool kReportsFaults = true;  // and exits instead
#else
constexpr bool kReportsFaults = false;
#endif

class TakenProcess : public SharedStateTest {
 protected:
  static constexpr std::size_t kOwn = 3;
  static constexpr std::size_t kOther = 4;

  std::string worker(const std::function<bool()>& deed) {
    const SharedState::Lending lending(*state_, kOwn);
    return endOfProcess(deed);
  }
  void expectFault(const std::string& end) {
    if (kReportsFaults) {
      EXPECT_NE(end, "");
    } else {
      EXPECT_EQ(end, "fault");
    }
  }
  const SharedState& readable() const { return *state_; }
};

TEST_F(TakenProcess, AWorkerWritesItsOwnSlotAndWhatAllWrite) {
  EXPECT_EQ(worker([&] {
              state_->slot(kOwn).add(Counter::kConnections, 7);
              state_->writers().leave(kOwn);
              return !state_->countRequest(address("192.0.2.1"), RatePolicy{}) &&
                     state_->takeAddress(kOwn, PerAddress::kConnections, address("192.0.2.1"), 1);
            }),
            "");
  EXPECT_EQ(state_->total(Counter::kConnections), 7U);
  EXPECT_FALSE(state_->takeAddress(kOther, PerAddress::kConnections, address("192.0.2.1"), 1));
}

TEST_F(TakenProcess, AWorkerWritesNoOtherSlotAndSeesAllOfThem) {
  state_->slot(kOther).add(Gauge::kOpenConnections, 5);
  EXPECT_EQ(worker([&] { return readable().slot(kOther).value(Gauge::kOpenConnections) == 5; }),
            "");
  expectFault(worker([&] {
    state_->slot(kOther).add(Gauge::kOpenConnections, 1000);
    return true;
  }));
  expectFault(worker([&] {
    const_cast<WorkerSlot&>(readable().slot(kOther)).add(Gauge::kOpenConnections, 1000);
    return true;
  }));
  expectFault(worker([&] {
    state_->slot(SharedState::kSlots - 1).add(Counter::kConnections, 1);
    return true;
  }));
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 5);
}

TEST_F(TakenProcess, AWorkerMakesNothingWritable) {
  EXPECT_EQ(worker([&] {
              const long page = ::sysconf(_SC_PAGESIZE);
              auto* other = const_cast<WorkerSlot*>(&readable().slot(kOther));
              return ::mprotect(other, static_cast<std::size_t>(page), PROT_READ | PROT_WRITE) != 0;
            }),
            "");
}

TEST_F(TakenProcess, AWorkersSlotGrowsIntoNoOther) {
  state_->slot(kOther).add(Counter::kConnections, 1);
  expectFault(worker([&] {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t size = (sizeof(WorkerSlot) + page - 1) / page * page;
    void* grown = ::mremap(&state_->slot(kOwn), size, 2 * size, MREMAP_MAYMOVE);
    if (grown == MAP_FAILED) ::raise(SIGSEGV);
    static_cast<char*>(grown)[size] = 1;
    return true;
  }));
}

TEST_F(TakenProcess, OneThatIsNoWorkerWritesNothing) {
  state_->slot(kOwn);
  expectFault(endOfProcess([&] {
    state_->slot(kOwn).add(Counter::kConnections);
    return true;
  }));
  expectFault(endOfProcess([&] {
    state_->writers().leave(0);
    return true;
  }));
}

TEST_F(TakenProcess, WhatAWorkerLiesStaysWithinBounds) {
  EXPECT_EQ(worker([&] {
              std::memset(static_cast<void*>(&state_->slot(kOwn)), 0xFF, sizeof(WorkerSlot));
              return true;
            }),
            "");
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 0) << "it wrote -1";
  EXPECT_GE(state_->latencies(Protocol::kGemini, Span::kRequest).sum().count(), 0);
  state_->slot(kOwn).add(Gauge::kOpenConnections, INT64_MAX);
  EXPECT_LE(state_->total(Gauge::kOpenConnections), kMostOfGauge);
  EXPECT_FALSE(state_->takeAddress(kOther, PerAddress::kConnections, address("192.0.2.1"), 8))
      << "while it lives";
  EXPECT_EQ(state_->held(Gauge::kOpenConnections, kOther, 15), 15) << "what another may claim";
  EXPECT_GT(state_->held(Gauge::kOpenConnections, kOwn, 15), 15) << "its own";
  EXPECT_FALSE(state_->isPlausible(kOwn, 40'000));
  EXPECT_TRUE(state_->isPlausible(kOther, 0));
  state_->workerGone(kOwn);
  EXPECT_TRUE(state_->takeAddress(kOther, PerAddress::kConnections, address("192.0.2.1"), 1));
  EXPECT_EQ(state_->total(Gauge::kOpenConnections), 0);
}

}  // namespace
}  // namespace egalaxyd
