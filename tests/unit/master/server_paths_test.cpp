#include "master/server_paths.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

constexpr uid_t kRoot = 0;
constexpr uid_t kSomeone = 1000;

struct PathCase {
  const char* name;
  PathEnvironment environment;
  uid_t uid;
  const char* configuredState;
  const char* configuredRuntime;
  const char* state;
  const char* runtime;
};

class ServerPathsTest : public testing::TestWithParam<PathCase> {};

TEST_P(ServerPathsTest, FollowTheOrderOfPrecedence) {
  const PathCase& c = GetParam();
  const auto paths = serverPaths(c.environment, c.uid, c.configuredState, c.configuredRuntime);
  ASSERT_TRUE(paths.ok());
  EXPECT_EQ(paths.value().state, c.state);
  EXPECT_EQ(paths.value().runtime, c.runtime);
}

INSTANTIATE_TEST_SUITE_P(
    , ServerPathsTest,
    testing::Values(
        PathCase{"Root", {.home = "/root"}, kRoot, "", "", "/var/lib/egalaxyd", "/run/egalaxyd"},
        PathCase{"RootIgnoresXdg",
                 {.xdgStateHome = "/x", .xdgRuntimeDir = "/y"},
                 kRoot,
                 "",
                 "",
                 "/var/lib/egalaxyd",
                 "/run/egalaxyd"},
        PathCase{"SystemdBeforeAllElse",
                 {.stateDirectory = "/s", .runtimeDirectory = "/r", .xdgStateHome = "/x"},
                 kSomeone,
                 "",
                 "",
                 "/s",
                 "/r"},
        PathCase{"SystemdsFirstFolder",
                 {.stateDirectory = "/s/one:/s/two", .runtimeDirectory = "/r/one:/r/two"},
                 kRoot,
                 "",
                 "",
                 "/s/one",
                 "/r/one"},
        PathCase{"Xdg",
                 {.xdgStateHome = "/x", .xdgRuntimeDir = "/y", .home = "/home/me"},
                 kSomeone,
                 "",
                 "",
                 "/x/egalaxyd",
                 "/y/egalaxyd"},
        PathCase{"Home",
                 {.home = "/home/me"},
                 kSomeone,
                 "",
                 "",
                 "/home/me/.local/state/egalaxyd",
                 "/home/me/.local/state/egalaxyd/run"},
        PathCase{"RelativeXdgDoesNotCount",
                 {.xdgStateHome = "x", .xdgRuntimeDir = "y", .home = "/home/me"},
                 kSomeone,
                 "",
                 "",
                 "/home/me/.local/state/egalaxyd",
                 "/home/me/.local/state/egalaxyd/run"},
        PathCase{"ConfiguredWins",
                 {.stateDirectory = "/s", .runtimeDirectory = "/r"},
                 kRoot,
                 "/cs",
                 "/cr",
                 "/cs",
                 "/cr"},
        PathCase{"ConfiguredStateHoldsTheRuntime", {}, kSomeone, "/cs", "", "/cs", "/cs/run"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(ServerPaths, SayWhatToSetWhenNothingIsKnown) {
  const auto paths = serverPaths({}, kSomeone, "", "");
  ASSERT_FALSE(paths.ok());
  EXPECT_NE(paths.error().message.find("--state-dir"), std::string::npos);
}

TEST(ServerPaths, AreMadeForTheOwnerAndTheGroup) {
  const TempDir dir;
  const ServerPaths paths{dir.path() / "a/b/state", dir.path() / "a/b/state/run"};
  const mode_t before = ::umask(022);
  EXPECT_TRUE(makeServerPaths(paths, std::nullopt).ok());
  ::umask(before);
  for (const auto& path : {paths.state, paths.runtime}) {
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777u, 0750u);
  }
}

TEST(ServerPaths, KeepAnExistingFolderAsItIs) {
  const TempDir dir;
  const auto state = dir.path() / "state";
  std::filesystem::create_directory(state);
  ASSERT_EQ(::chmod(state.c_str(), 0700), 0);
  ASSERT_TRUE(makeServerPaths({state, state / "run"}, std::nullopt).ok());
  struct stat info {};
  ASSERT_EQ(::stat(state.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0700u);
}

TEST(ServerPaths, NameWhatCannotBeMade) {
  const TempDir dir;
  std::ofstream(dir.path() / "file") << "x";
  const auto state = dir.path() / "file/state";
  const auto made = makeServerPaths({state, state / "run"}, std::nullopt);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message.find((dir.path() / "file").string()), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd
