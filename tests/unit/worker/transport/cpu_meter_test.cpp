#include "worker/transport/cpu_meter.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

Clock::time_point wall;
Clock::duration cpu;
int looks;  // at the CPU clock

class CpuMeterTest : public testing::Test {
 protected:
  CpuMeterTest() {
    wall = Clock::time_point(1h);
    cpu = 0ms;
    looks = 0;
  }

  Clock::duration costOf(Clock::duration inCpu, Clock::duration inAll) {
    return meter_.measure([&] {
      cpu += inCpu;
      wall += inAll;
    });
  }

  CpuMeter meter_{{[] { return wall; },
                   [] {
                     ++looks;
                     return cpu;
                   }}};
};

TEST_F(CpuMeterTest, UsualCallsCountByTheWallClock) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(costOf(200us, 300us), 300us);
  EXPECT_LE(looks, 15) << "once in 2 ms";
}

TEST_F(CpuMeterTest, AMachineThatIsBusyElsewhereCostsNobodyMuch) {
  costOf(200us, 300us);
  EXPECT_EQ(costOf(200us, 500ms), 400us) << "what came before may be counted too";
  EXPECT_EQ(costOf(200us, 500ms), 200us);
  EXPECT_EQ(costOf(0us, 500ms), 0us);
}

TEST_F(CpuMeterTest, ALongCallIsMeasured) {
  EXPECT_EQ(costOf(191ms, 191ms), 191ms);
  EXPECT_EQ(costOf(191ms, 400ms), 191ms);
  EXPECT_EQ(costOf(1ms, 1ms), 1ms);
}

TEST_F(CpuMeterTest, WhatWasDoneElsewhereCountsForTwoMillisecondsAtMost) {
  for (int i = 0; i < 10; ++i) {
    costOf(0us, 100us);
    cpu += 1ms;  // by others
    wall += 1ms;
    EXPECT_LE(costOf(3ms, 4ms), 5ms) << i;
  }
}

TEST(CpuMeter, SeesWorkAndNoWaiting) {
  CpuMeter meter;
  const auto work = [] {
    for (const auto until = Clock::now() + 5ms; Clock::now() < until;) {
    }
  };
  meter.measure(work);
  EXPECT_GT(meter.measure(work), 0ms);
}

}  // namespace
}  // namespace egalaxyd
