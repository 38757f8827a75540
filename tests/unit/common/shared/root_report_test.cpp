#include "common/shared/root_report.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using Where = Presence::Kind;

TEST(RootReport, IsReadAsItWasWritten) {
  for (const Presence& presence : {Presence{}, Presence{Where::kAway, "there is no such folder"},
                                   Presence{Where::kBeyond, "x"}}) {
    const auto read = RootReport::decode(RootReport{7, presence}.encode());
    ASSERT_TRUE(read);
    EXPECT_EQ(read->index, 7u);
    EXPECT_EQ(read->presence, presence);
  }
}

TEST(RootReport, NonsenseIsNone) {
  for (const char* text : {"", " ", "x here", "-1 here", "1", "1 gone", "1  here", "1x away y",
                           "99999999999999999999999 here"}) {
    EXPECT_FALSE(RootReport::decode(text)) << text;
  }
}

}  // namespace
}  // namespace egalaxyd
