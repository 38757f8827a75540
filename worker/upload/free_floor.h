// How much of a disk uploads leave free.
#pragma once

#include <sys/statvfs.h>

#include <cstdint>
#include <filesystem>

#include "common/base/result.h"
#include "common/config/config.h"

namespace egalaxyd {

/// kNoSpace where `bytes` and `inodes` more would leave less than `floor` to whoever is not root. A
/// floor in bytes keeps the same share of the inodes. Pure.
Result<void> checkFloor(const struct statvfs& disk, const FreeFloor& floor, std::uint64_t bytes,
                        std::uint64_t inodes);

/// As above, of the disk that an open file or a path is on. Waits for it.
Result<void> checkFloorOf(int fd, const FreeFloor& floor, std::uint64_t bytes,
                          std::uint64_t inodes);
Result<void> checkFloorAt(const std::filesystem::path& path, const FreeFloor& floor);

}  // namespace egalaxyd
