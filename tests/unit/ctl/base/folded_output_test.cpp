#include "ctl/base/folded_output.h"

#include <gtest/gtest.h>

#include <sstream>

namespace egalaxyd::ctl {
namespace {

TEST(FoldedOutput, LeavesAloneWhatFits) {
  EXPECT_EQ(folded("", 10), "");
  EXPECT_EQ(folded("0123456789", 10), "0123456789");
}

TEST(FoldedOutput, CutsBehindASpaceAndIndentsWhatContinues) {
  EXPECT_EQ(folded("one two three four", 10), "one two\n    three\n    four");
  EXPECT_EQ(folded("0123456789 x", 10), "0123456789\n    x");
  EXPECT_EQ(folded("id   a/long/path", 10), "id\n    a/long\n    /path");
}

TEST(FoldedOutput, CutsAWordThatHasNoSpace) {
  EXPECT_EQ(folded("0123456789abcdefgh", 10), "0123456789\n    abcdef\n    gh");
  EXPECT_EQ(folded("    0123456789", 10), "    012345\n    6789");
}

TEST(FoldedOutput, CutsNoCharacterAndCountsNoColour) {
  EXPECT_EQ(folded("ääääääääää", 10), "ääääääääää");
  EXPECT_EQ(folded("ääääääääääx", 10), "ääääääääää\n    x");
  EXPECT_EQ(folded("\x1b[32mready\x1b[0m now", 10), "\x1b[32mready\x1b[0m now");
  EXPECT_EQ(folded("日本語日本語", 10), "日本語日本\n    語");
  EXPECT_EQ(folded("\x1b[32", 2), "\x1b[32") << "a sequence that does not end";
}

TEST(FoldedOutput, FoldsEachLineOfAStream) {
  std::ostringstream target;
  {
    FoldedOutput out(target);
    out << std::string(81, 'x') << "\ny" << 1 << '\n' << "no end";
  }
  EXPECT_EQ(target.str(), std::string(80, 'x') + "\n    x\ny1\nno end");
}

}  // namespace
}  // namespace egalaxyd::ctl
