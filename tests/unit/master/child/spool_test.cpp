#include "master/child/spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/shared/script_names.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::UnorderedElementsAre;

std::vector<std::string> namesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

TEST(Spool, IsMadeSoThatOthersMayPass) {
  const TempDir state;
  const mode_t before = ::umask(0077);
  const auto made = prepareSpool(state.path(), std::nullopt);
  ::umask(before);
  ASSERT_TRUE(made) << made.error().message;
  struct stat info {};
  ASSERT_EQ(::stat((state / kSpoolFolder).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0711U);
  EXPECT_TRUE(prepareSpool(state.path(), std::nullopt));
}

TEST(Spool, BelongsToTheWorkersAndIsTakenBackToBeMended) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const TempDir state;
  const Account workers{.user = "nobody", .uid = 65534, .gid = 65534};
  for (int round = 0; round < 2; ++round) {
    const auto made = prepareSpool(state.path(), workers);
    ASSERT_TRUE(made) << made.error().message;
    struct stat info {};
    ASSERT_EQ(::stat((state / kSpoolFolder).c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, 65534U);
    EXPECT_EQ(info.st_gid, 65534U);
    EXPECT_EQ(info.st_mode & 07777U, 0711U);
    ASSERT_EQ(::chmod((state / kSpoolFolder).c_str(), 0700), 0);
  }
}

TEST(Spool, IsNoLink) {
  const TempDir state;
  const TempDir other;
  fs::create_directory_symlink(other.path(), state / kSpoolFolder);
  EXPECT_FALSE(prepareSpool(state.path(), std::nullopt));
}

TEST(Spool, LosesWhatDeadWorkersLeft) {
  const TempDir state;
  ASSERT_TRUE(prepareSpool(state.path(), std::nullopt));
  DeadWorkers dead;
  const auto ended = std::to_string(dead.ids.next());
  const auto living = std::to_string(dead.ids.next());
  dead.ours.insert(std::stoll(ended));
  const std::string spool = kSpoolFolder;
  for (const std::string& name : {ended + "-1", ended + "-2", living + "-1", std::string("5-1")}) {
    state.write(spool + "/" + name, "x");
  }
  state.write(spool + "/else", "x");
  emptySpool(state.path(), dead);
  EXPECT_THAT(namesIn(state / kSpoolFolder), UnorderedElementsAre(living + "-1", "else"));
  emptySpool(state / "missing", dead);
}

}  // namespace
}  // namespace egalaxyd
