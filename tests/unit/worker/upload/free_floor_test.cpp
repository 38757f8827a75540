#include "worker/upload/free_floor.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

/// Of 1000 blocks of 4096 bytes, and 500 inodes.
struct statvfs disk(std::uint64_t freeBlocks, std::uint64_t freeInodes) {
  struct statvfs disk {};
  disk.f_frsize = 4096;
  disk.f_blocks = 1000;
  disk.f_bfree = 1000;  // what root may use does not count
  disk.f_bavail = freeBlocks;
  disk.f_files = 500;
  disk.f_ffree = 500;
  disk.f_favail = freeInodes;
  return disk;
}

bool fits(const struct statvfs& disk, const FreeFloor& floor, std::uint64_t bytes,
          std::uint64_t inodes = 1) {
  const auto checked = checkFloor(disk, floor, bytes, inodes);
  EXPECT_TRUE(checked.ok() || checked.error().code == ErrorCode::kNoSpace);
  return checked.ok();
}

TEST(FreeFloor, AShareOfTheDiskStaysFree) {
  const FreeFloor tenPercent{0, 10};
  EXPECT_TRUE(fits(disk(101, 500), tenPercent, 4096));
  EXPECT_FALSE(fits(disk(101, 500), tenPercent, 4097));
  EXPECT_FALSE(fits(disk(99, 500), tenPercent, 0));
}

TEST(FreeFloor, AShareOfTheInodesStaysFree) {
  const FreeFloor tenPercent{0, 10};
  EXPECT_TRUE(fits(disk(1000, 52), tenPercent, 1, 2));
  EXPECT_FALSE(fits(disk(1000, 52), tenPercent, 1, 3));
}

TEST(FreeFloor, BytesKeepTheSameShareOfTheInodes) {
  const FreeFloor tenth{409'600, 0};
  EXPECT_TRUE(fits(disk(101, 51), tenth, 4096, 1));
  EXPECT_FALSE(fits(disk(101, 51), tenth, 4097, 1));
  EXPECT_FALSE(fits(disk(1000, 50), tenth, 1, 1));
  EXPECT_FALSE(fits(disk(1000, 500), FreeFloor{std::uint64_t{1} << 62, 0}, 0));
}

TEST(FreeFloor, HugeNumbersDoNotWrapAround) {
  EXPECT_FALSE(fits(disk(1000, 500), FreeFloor{0, 1}, ~std::uint64_t{0}));
  EXPECT_FALSE(fits(disk(1000, 500), FreeFloor{~std::uint64_t{0}, 0}, ~std::uint64_t{0}));
}

TEST(FreeFloor, IsOffWhenItIsNothing) { EXPECT_TRUE(fits(disk(0, 0), FreeFloor{}, 1)); }

TEST(FreeFloor, ADiskThatDoesNotTellIsNotAsked) {
  struct statvfs none {};
  EXPECT_TRUE(fits(none, FreeFloor{0, 50}, 1));
  struct statvfs noInodes = disk(1000, 0);
  noInodes.f_files = 0;
  EXPECT_TRUE(fits(noInodes, FreeFloor{0, 50}, 1));
}

TEST(FreeFloor, IsAskedOfARealDisk) {
  EXPECT_TRUE(checkFloorAt("/", FreeFloor{}).ok());
  EXPECT_EQ(checkFloorAt("/", FreeFloor{~std::uint64_t{0}, 0}).error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(checkFloorAt("/does/not/exist", FreeFloor{0, 1}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace egalaxyd
