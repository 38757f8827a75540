#include "master/control/command_right.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using testing::HasSubstr;

constexpr pid_t kWorker = 700;
constexpr pid_t kOther = 900;
constexpr uid_t kAccount = 990;
constexpr uid_t kAlice = 1000;
constexpr gid_t kGroup = 980;
constexpr gid_t kUsers = 100;

/// A master that runs as root, with workers of an account of their own.
const Commanders kOfRoot{
    .owner = 0, .group = kGroup, .workerAccounts = {kAccount}, .workerProcesses = {kWorker}};
/// One whose workers run as it does.
const Commanders kOfAlice{
    .owner = kAlice, .group = kUsers, .workerAccounts = {}, .workerProcesses = {kWorker}};

TEST(CommandRight, IsRoots) {
  EXPECT_EQ(whyRefused({kOther, 0, {0}}, kOfRoot), "");
  EXPECT_EQ(whyRefused({kOther, 0, {0}}, kOfAlice), "");
}

TEST(CommandRight, IsThatOfTheUserWhoStartedTheServer) {
  EXPECT_EQ(whyRefused({kOther, kAlice, {}}, kOfAlice), "");
}

TEST(CommandRight, IsThatOfTheGroupsMembersWhicheverOfTheirGroupsItIs) {
  EXPECT_EQ(whyRefused({kOther, kAlice, {kGroup}}, kOfRoot), "");
  EXPECT_EQ(whyRefused({kOther, kAlice, {4, kGroup, kUsers}}, kOfRoot), "");
}

TEST(CommandRight, IsNobodyElsesAndTellsHowToGetIt) {
  const std::string told = whyRefused({kOther, kAlice, {4, kUsers}}, kOfRoot);
  EXPECT_THAT(told, HasSubstr("user 1000 may look, but change nothing"));
  EXPECT_THAT(told, HasSubstr("usermod -aG 980"));
}

TEST(CommandRight, IsNotTheWorkersThoughTheyAreInTheGroup) {
  EXPECT_THAT(whyRefused({kOther, kAccount, {kGroup}}, kOfRoot), HasSubstr("of the workers"));
}

TEST(CommandRight, IsNotThatOfAWorkersProcessWhoeverItRunsAs) {
  EXPECT_THAT(whyRefused({kWorker, kAlice, {kUsers}}, kOfAlice), HasSubstr("of the workers"));
  EXPECT_THAT(whyRefused({kWorker, 0, {0}}, kOfRoot), HasSubstr("of the workers"));
}

TEST(CommandRight, IsNoScriptsWhoeverItRunsAs) {
  Commanders commanders = kOfAlice;
  commanders.isScript = true;
  EXPECT_THAT(whyRefused({kOther, kAlice, {kUsers}}, commanders), HasSubstr("a script may look"));
}

}  // namespace
}  // namespace egalaxyd
