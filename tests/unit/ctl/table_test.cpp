#include "ctl/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace egalaxyd {
namespace {

TEST(Table, AlignsColumnsAndEndsLinesWithoutSpaces) {
  Table table({"worker", "state"});
  table.add({"0", "ready"});
  table.add({"10", ""});
  std::ostringstream out;
  table.print(out);
  EXPECT_EQ(out.str(), "worker  state\n0       ready\n10\n");
}

TEST(Table, SaysHowLongInTwoUnits) {
  EXPECT_EQ(durationWords(0), "0s");
  EXPECT_EQ(durationWords(59), "59s");
  EXPECT_EQ(durationWords(200), "3m 20s");
  EXPECT_EQ(durationWords(7500), "2h 5m");
  EXPECT_EQ(durationWords(9 * 86'400 + 4 * 3600), "9d 4h");
}

}  // namespace
}  // namespace egalaxyd
