#include "master/start/pid_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

TEST(PidFile, HoldsThisProcessAsLongAsItIsThere) {
  const TempDir dir;
  dir.write("pid", "an older and longer text\n");
  {
    const auto written = PidFile::write(dir / "pid");
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(dir.read("pid"), std::to_string(::getpid()) + "\n");
  }
  EXPECT_FALSE(std::filesystem::exists(dir / "pid"));
}

TEST(PidFile, WritesToNoFileOfAnotherName) {
  const TempDir dir;
  dir.write("precious", "precious");
  std::filesystem::create_hard_link(dir / "precious", dir / "hard");
  std::filesystem::create_symlink("precious", dir / "soft");
  EXPECT_FALSE(PidFile::write(dir / "hard"));
  EXPECT_FALSE(PidFile::write(dir / "soft"));
  EXPECT_EQ(dir.read("precious"), "precious");
}

}  // namespace
}  // namespace egalaxyd
