#include "ctl/base/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace egalaxyd::ctl {
namespace {

TEST(Table, AlignsColumnsAndEndsLinesWithoutSpaces) {
  Table table({"worker", "state"});
  table.add({"0", "ready"});
  table.add({"10", ""});
  std::ostringstream out;
  table.print(out);
  EXPECT_EQ(out.str(), "worker  state\n0       ready\n10\n");
}

TEST(Table, AlignsByColumnsNotByBytes) {
  Table table({"path", "x"});
  table.add({"äöü", "1"});
  table.add({"日本", "2"});
  std::ostringstream out;
  table.print(out);
  EXPECT_EQ(out.str(), "path  x\näöü   1\n日本  2\n");
  EXPECT_EQ(table.width(), 7U);
}

TEST(Table, PaintsHeadAndStatesWithoutMovingAColumn) {
  Table table({"worker", "state", "cause"});
  table.showStates(1);
  table.add({"0", "ready", "ready"});
  table.add({"1", "killed", ""});
  table.add({"2", "unheard of", "x"});
  std::ostringstream plain;
  table.print(plain);
  std::ostringstream coloured;
  table.print(coloured, /*colour=*/true);
  EXPECT_EQ(coloured.str(),
            "\x1b[1mworker\x1b[0m  \x1b[1mstate\x1b[0m       \x1b[1mcause\x1b[0m\n"
            "0       \x1b[32mready\x1b[0m       ready\n"
            "1       \x1b[31mkilled\x1b[0m\n"
            "2       unheard of  x\n");
  EXPECT_EQ(plain.str(),
            "worker  state       cause\n0       ready       ready\n1       killed\n"
            "2       unheard of  x\n");
}

TEST(Table, SaysHowLongInTwoUnits) {
  EXPECT_EQ(durationWords(0), "0s");
  EXPECT_EQ(durationWords(59), "59s");
  EXPECT_EQ(durationWords(200), "3m 20s");
  EXPECT_EQ(durationWords(7500), "2h 5m");
  EXPECT_EQ(durationWords(9 * 86'400 + 4 * 3600), "9d 4h");
}

}  // namespace
}  // namespace egalaxyd::ctl
