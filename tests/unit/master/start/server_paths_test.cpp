#include "master/start/server_paths.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <utility>

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

// --- as root, with workers of an account of their own ------------------------------------------

constexpr uid_t kWorkers = 4711;
constexpr uid_t kOther = 4242;

struct stat statOf(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info;
}

class RootServerPaths : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root has workers of another account";
  }
  Result<void> make() const { return makeServerPaths({state_, state_ / "run"}, workers_); }
  void makeState(uid_t owner, mode_t mode) const {
    std::filesystem::create_directory(state_);
    ASSERT_EQ(::chown(state_.c_str(), owner, owner), 0);
    ASSERT_EQ(::chmod(state_.c_str(), mode), 0);
  }

  const TempDir dir_;
  const std::filesystem::path state_ = dir_ / "state";
  Account workers_{"workers", kWorkers, kWorkers};
};

TEST_F(RootServerPaths, AreRootsAndTheWorkersGroupMayPass) {
  ASSERT_TRUE(make());
  for (const auto& path : {state_, state_ / "run"}) {
    EXPECT_EQ(statOf(path).st_uid, 0U);
    EXPECT_EQ(statOf(path).st_gid, kWorkers);
    EXPECT_EQ(statOf(path).st_mode & 07777U, 0750U);
  }
}

TEST_F(RootServerPaths, GiveACommonGroupNoWayToTheControlSocket) {
  workers_.isGroupFallback = true;
  ASSERT_TRUE(make());
  EXPECT_EQ(statOf(state_ / "run").st_gid, ::getegid());
}

TEST_F(RootServerPaths, AreTakenFromTheWorkersAccount) {
  makeState(kWorkers, 0770);
  dir_.write("state/certificates/localhost.key", "ours");
  dir_.write("state/certificates/other.key", "other");
  dir_.write("state/notes/page", "theirs");
  std::filesystem::create_hard_link(state_ / "notes/page", state_ / "certificates/linked.key");
  for (const char* theirs : {"certificates", "certificates/localhost.key", "notes", "notes/page"}) {
    ASSERT_EQ(::chown((state_ / theirs).c_str(), kWorkers, kWorkers), 0);
  }
  ASSERT_EQ(::chown((state_ / "certificates/other.key").c_str(), kOther, kOther), 0);
  ASSERT_TRUE(make());
  EXPECT_EQ(statOf(state_).st_uid, 0U);
  EXPECT_EQ(statOf(state_).st_mode & 07777U, 0750U);
  EXPECT_EQ(statOf(state_ / "certificates").st_uid, 0U);
  EXPECT_EQ(statOf(state_ / "certificates").st_mode & 07777U, 0700U);
  EXPECT_EQ(statOf(state_ / "certificates/localhost.key").st_uid, 0U);
  EXPECT_EQ(statOf(state_ / "certificates/other.key").st_uid, kOther);
  EXPECT_EQ(statOf(state_ / "notes/page").st_uid, kWorkers) << "a second name of it was planted";
  EXPECT_EQ(statOf(state_ / "notes").st_uid, kWorkers);
}

TEST_F(RootServerPaths, TakeNoLinkForTheCertificates) {
  makeState(kWorkers, 0750);
  const auto target = dir_.makeDir("target");
  std::filesystem::create_directory_symlink(target, state_ / "certificates");
  ASSERT_EQ(::lchown((state_ / "certificates").c_str(), kWorkers, kWorkers), 0);
  ASSERT_EQ(::chown(target.c_str(), kWorkers, kWorkers), 0);
  const auto made = make();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kPermission);
  EXPECT_EQ(statOf(target).st_uid, kWorkers);
}

TEST_F(RootServerPaths, LoseWhatOthersMayWrite) {
  makeState(0, 0777);
  ASSERT_TRUE(make());
  EXPECT_EQ(statOf(state_).st_mode & 07777U, 0755U);
}

TEST_F(RootServerPaths, AreNoFolderOfEverybodys) {
  for (const auto& [owner, mode] : {std::pair{uid_t{0}, mode_t{01777}}, {kOther, mode_t{0777}}}) {
    makeState(owner, mode);
    const auto made = make();
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::kPermission);
    EXPECT_EQ(statOf(state_).st_mode & 07777U, mode);
    EXPECT_EQ(statOf(state_).st_uid, owner);
  }
}

TEST_F(RootServerPaths, OfSomebodyElseStayAsTheyAre) {
  makeState(kOther, 0750);
  ASSERT_TRUE(make());
  EXPECT_EQ(statOf(state_).st_uid, kOther);
}

TEST(ServerPaths, NameWhatCannotBeMade) {
  const TempDir dir;
  std::ofstream(dir.path() / "file") << "x";
  const auto state = dir.path() / "file/state";
  const auto made = makeServerPaths({state, state / "run"}, std::nullopt);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message.find((dir.path() / "file").string()), std::string::npos);
  EXPECT_NE(made.error().message.find("--state-dir"), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd
