#include "worker/cpu_meter.h"

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

TEST_F(CpuMeterTest, UsualCallsCountByTheWallClockAlone) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(costOf(200us, 300us), 300us);
  EXPECT_EQ(looks, 0);
}

TEST_F(CpuMeterTest, AMachineThatIsBusyElsewhereCostsNobodyMuch) {
  EXPECT_LE(costOf(200us, 500ms), 2ms);
  EXPECT_EQ(costOf(200us, 500ms), 200us);
}

TEST_F(CpuMeterTest, WhatFollowsALongCallIsMeasured) {
  costOf(191ms, 191ms);
  EXPECT_EQ(costOf(191ms, 400ms), 191ms);
  EXPECT_EQ(costOf(1ms, 1ms), 1ms);
  EXPECT_GT(looks, 0);
}

TEST_F(CpuMeterTest, GoesBackToTheWallClockAfterAQuietWhile) {
  costOf(191ms, 191ms);
  wall += 10s;
  EXPECT_EQ(costOf(200us, 300us), 300us);
  EXPECT_EQ(looks, 0);
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
