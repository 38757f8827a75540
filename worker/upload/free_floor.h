// How much space on a disk uploads leave free.
#pragma once

#include <sys/statvfs.h>

#include <cstdint>
#include <filesystem>

#include "common/base/result.h"
#include "common/config/config.h"

namespace egalaxyd {

/// kNoSpace if `bytes` and `inodes` more would leave less than `floor` to non-root accounts. A
/// floor in bytes keeps the same share of the inodes free. Pure.
Result<void> checkFloor(const struct statvfs& disk, const FreeFloor& floor, std::uint64_t bytes,
                        std::uint64_t inodes);

/// The same for the disk of an open file or a path. Waits for the disk.
Result<void> checkFloorOf(int fd, const FreeFloor& floor, std::uint64_t bytes,
                          std::uint64_t inodes);
Result<void> checkFloorAt(const std::filesystem::path& path, const FreeFloor& floor);

}  // namespace egalaxyd
