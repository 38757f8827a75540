#include "common/shared/fault_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace egalaxyd {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(FaultRing, KeepsTheLastOnes) {
  const auto ring = std::make_unique<FaultRing>();
  EXPECT_THAT(ring->recent(), IsEmpty());
  for (std::size_t i = 1; i <= FaultRing::kKept + 3; ++i) {
    ring->add(static_cast<std::int64_t>(i), i % 2 == 0, "fault " + std::to_string(i));
  }
  const auto faults = ring->recent();
  EXPECT_THAT(faults, SizeIs(FaultRing::kKept));
  for (const Fault& fault : faults) {
    EXPECT_GT(fault.time, 3);
    EXPECT_EQ(fault.text, "fault " + std::to_string(fault.time));
    EXPECT_EQ(fault.isError, fault.time % 2 == 0);
  }
}

TEST(FaultRing, CutsLongTextsAndShowsNoControlCharacters) {
  const auto ring = std::make_unique<FaultRing>();
  ring->add(1, true, std::string(10'000, 'x'));
  EXPECT_EQ(ring->recent().at(0).text, std::string(FaultRing::kMostText, 'x'));
  ring->add(2, true, "a\x1b[31m\n");
  EXPECT_THAT(ring->recent().at(1).text, Not(testing::HasSubstr("\x1b")));
}

/// A worker that was taken over writes what it likes.
TEST(FaultRing, ReadsWithinItsBoundsWhateverIsThere) {
  const auto ring = std::make_unique<FaultRing>();
  std::memset(static_cast<void*>(ring.get()), 0x7f, sizeof *ring);
  EXPECT_THAT(ring->recent(), SizeIs(FaultRing::kKept));
  for (const Fault& fault : ring->recent()) EXPECT_GE(fault.text.size(), FaultRing::kMostText);
}

}  // namespace
}  // namespace egalaxyd
