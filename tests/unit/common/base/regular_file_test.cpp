#include "common/base/regular_file.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

TEST(RegularFile, IsReadWhole) {
  const TempDir dir;
  const std::string text(100'000, 'x');
  EXPECT_EQ(readRegularFile(dir.write("f", text), text.size()).value(), text);
  EXPECT_EQ(readRegularFile(dir.write("empty", ""), 0).value(), "");
}

TEST(RegularFile, IsNotReadBeyondItsBound) {
  const TempDir dir;
  EXPECT_EQ(readRegularFile(dir.write("f", "12345"), 4).error().code, ErrorCode::kInvalid);
}

TEST(RegularFile, NothingElseIsWaitedFor) {
  const TempDir dir;
  const auto fifo = dir / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(readRegularFile(fifo, 10).error().message, "is a FIFO, not a regular file");
  EXPECT_EQ(readRegularFile(dir.path(), 10).error().message, "is a folder, not a regular file");
  EXPECT_EQ(readRegularFile("/dev/zero", 10).error().message, "is a device, not a regular file");
  EXPECT_EQ(readRegularFile(dir / "none", 10).error().code, ErrorCode::kNotFound);
}

TEST(RegularFile, WithASecondNameIsNotWrittenTo) {
  const TempDir dir;
  struct stat info {};
  ASSERT_EQ(::stat(dir.write("f", "").c_str(), &info), 0);
  EXPECT_TRUE(isFileOfOneName(info));
  std::filesystem::create_hard_link(dir / "f", dir / "g");
  ASSERT_EQ(::stat((dir / "f").c_str(), &info), 0);
  EXPECT_EQ(isFileOfOneName(info).error().message, "has a second name (a hard link); move it away");
}

}  // namespace
}  // namespace egalaxyd
