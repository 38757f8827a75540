#include "common/shared/home_places.h"

#include <gtest/gtest.h>

#include <string>

namespace egalaxyd {
namespace {

TEST(HomePlaces, KnowWhatANameIs) {
  for (const char* name : {"a", "_", "alice", "a-b_c9", "www-data"}) {
    EXPECT_TRUE(isUserName(name)) << name;
  }
  EXPECT_TRUE(isUserName(std::string(32, 'a')));
  for (const char* name : {"", "-a", "9a", "Alice", "a.b", "..", "a/b", "a b", "ä", "a%2Fb", "*"}) {
    EXPECT_FALSE(isUserName(name)) << name;
  }
  EXPECT_FALSE(isUserName(std::string(33, 'a')));
  EXPECT_FALSE(isUserName(std::string("a\0b", 3)));
}

TEST(HomePlaces, AreThePatternWithTheName) {
  EXPECT_EQ(placeOfUser("/home/%user%/pages", "alice"), "/home/alice/pages");
  EXPECT_EQ(placeOfUser("/srv/x-%user%", "bob"), "/srv/x-bob");
  EXPECT_EQ(placeOfUser("/srv", "bob"), "/srv");
}

TEST(HomePlaces, LieInOneFolder) {
  EXPECT_EQ(folderOfUsers("/home/%user%/pages"), "/home");
  EXPECT_EQ(folderOfUsers("/srv/x/a-%user%"), "/srv/x");
  EXPECT_EQ(folderOfUsers("/%user%"), "/");
}

TEST(HomePlaces, ASocketIsInTheHomeOrWhereTheNameLeads) {
  EXPECT_EQ(socketOfUser("%home%/.gemini.sock", "alice", "/var/alice"), "/var/alice/.gemini.sock");
  EXPECT_EQ(socketOfUser("/run/app/%user%", "alice", "/var/alice"), "/run/app/alice");
}

}  // namespace
}  // namespace egalaxyd
