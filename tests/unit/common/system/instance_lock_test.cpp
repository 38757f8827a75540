#include "common/system/instance_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

TEST(InstanceLock, IsOneMasters) {
  const TempDir dir;
  const auto first = InstanceLock::take(dir.path());
  ASSERT_TRUE(first) << first.error().message;
  const auto second = InstanceLock::take(dir.path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
  EXPECT_THAT(second.error().message, HasSubstr("process " + std::to_string(::getpid())));
}

TEST(InstanceLock, WritesToNoFileOfAnotherName) {
  const TempDir dir;
  dir.write("precious", "precious");
  std::filesystem::create_hard_link(dir / "precious", dir / "egalaxyd.lock");
  EXPECT_EQ(InstanceLock::take(dir.path()).error().code, ErrorCode::kInvalid);
  std::filesystem::remove(dir / "egalaxyd.lock");
  std::filesystem::create_symlink("precious", dir / "egalaxyd.lock");
  EXPECT_FALSE(InstanceLock::take(dir.path()));
  EXPECT_EQ(dir.read("precious"), "precious");
}

TEST(InstanceLock, OfARootMasterIsRoots) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root takes files";
  const TempDir dir;
  const auto file = dir.write("egalaxyd.lock", "1\n");
  ASSERT_EQ(::chown(file.c_str(), 4711, 4711), 0);
  ASSERT_TRUE(InstanceLock::take(dir.path()));
  struct stat info {};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
}

}  // namespace
}  // namespace egalaxyd
