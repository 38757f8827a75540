#include "common/base/spelling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(EditDistance, CountsInsertionsDeletionsReplacementsAndSwaps) {
  const struct {
    std::string_view a, b;
    std::size_t expected;
  } cases[] = {{"", "", 0},         {"same", "same", 0},      {"", "abc", 3},
               {"abc", "", 3},      {"listen", "listn", 1},   {"root", "roots", 1},
               {"user", "usor", 1}, {"titan", "titna", 1},    {"Root", "root", 1},
               {"ab", "ba", 1},     {"kitten", "sitting", 3}, {"workers", "limits", 6}};
  for (const auto& c : cases) {
    EXPECT_EQ(editDistance(c.a, c.b), c.expected) << c.a << " " << c.b;
    EXPECT_EQ(editDistance(c.b, c.a), c.expected) << c.b << " " << c.a;
  }
}

TEST(NearNames, PutsTheNearestFirst) {
  EXPECT_THAT(nearNames("requets", {"request_timeout", "per", "requests", "request"}),
              ElementsAre("requests", "request"));
}

TEST(NearNames, ComparesWithoutCase) {
  EXPECT_THAT(nearNames("Workers", {"user", "workers"}), ElementsAre("workers"));
}

TEST(NearNames, TakesTheBeginningOfAName) {
  EXPECT_THAT(nearNames("conn", {"connections", "penalty"}), ElementsAre("connections"));
  EXPECT_THAT(nearNames("c", {"connections", "penalty"}), IsEmpty());
}

TEST(NearNames, OffersNothingThatIsFar) {
  EXPECT_THAT(nearNames("database", {"workers", "user", "group"}), IsEmpty());
  EXPECT_THAT(nearNames("anything", {}), IsEmpty());
  EXPECT_THAT(nearNames("", {"workers"}), IsEmpty());
}

}  // namespace
}  // namespace egalaxyd
