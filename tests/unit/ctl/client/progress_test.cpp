#include "ctl/client/progress.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>

namespace egalaxyd::ctl {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kMib = 1 << 20;

TEST(Progress, TellsBytesPercentAndRate) {
  EXPECT_EQ(progressText(25 * kMib, 100 * kMib, milliseconds(2000)),
            "25.0 MiB of 100.0 MiB, 25%, 12.5 MiB/s");
  EXPECT_EQ(progressText(512, 1024, milliseconds(1000)), "512 B of 1.0 KiB, 50%, 512 B/s");
  EXPECT_EQ(progressText(kMib, kMib, milliseconds(500)), "1.0 MiB of 1.0 MiB, 100%, 2.0 MiB/s");
}

TEST(Progress, TellsNoPercentOfAnUnknownTotal) {
  EXPECT_EQ(progressText(3 * kMib, std::nullopt, milliseconds(1500)), "3.0 MiB, 2.0 MiB/s");
  EXPECT_EQ(progressText(0, std::nullopt, milliseconds(1500)), "0 B, 0 B/s");
}

TEST(Progress, IsSoundAtTheEdges) {
  EXPECT_EQ(progressText(1, 0, milliseconds(0)), "1 B, 1000 B/s");
  EXPECT_EQ(progressText(kMib - 1, 100 * kMib, milliseconds(1000)),
            "1024.0 KiB of 100.0 MiB, 0%, 1024.0 KiB/s");
  const auto most = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(progressText(most, most, milliseconds(1000)),
            "16777216.0 TiB of 16777216.0 TiB, 100%, 16777216.0 TiB/s");
}

TEST(Progress, DrawsNothingInTheFirstSecondNorWhereNobodyLooks) {
  std::ostringstream out;
  {
    Progress soon(out, /*shown=*/true, 100);
    soon.advance(50);
  }
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace egalaxyd::ctl
