#include "worker/upload/free_floor.h"

#include <cerrno>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

bool isOff(const FreeFloor& floor) { return floor.bytes == 0 && floor.percent == 0; }

/// The floor's share of `all`; `total` is the disk's bytes.
std::uint64_t shareOf(const FreeFloor& floor, std::uint64_t all, std::uint64_t total) {
  if (floor.percent != 0) return all / 100 * floor.percent + all % 100 * floor.percent / 100;
  const double share = static_cast<double>(floor.bytes) / static_cast<double>(total);
  return share >= 1 ? all : static_cast<std::uint64_t>(share * static_cast<double>(all));
}

bool hasRoom(std::uint64_t free, std::uint64_t least, std::uint64_t more) {
  return free >= least && free - least >= more;
}

}  // namespace

Result<void> checkFloor(const struct statvfs& disk, const FreeFloor& floor, std::uint64_t bytes,
                        std::uint64_t inodes) {
  if (isOff(floor)) return {};
  const std::uint64_t total = disk.f_blocks * disk.f_frsize;
  if (total == 0) return {};  // the file system does not tell
  const std::uint64_t least = floor.percent != 0 ? shareOf(floor, total, total) : floor.bytes;
  if (!hasRoom(disk.f_bavail * disk.f_frsize, least, bytes)) {
    return Error{ErrorCode::kNoSpace, "less than min_free of the disk would stay free"};
  }
  // Some file systems make inodes as needed and say 0.
  if (disk.f_files != 0 && !hasRoom(disk.f_favail, shareOf(floor, disk.f_files, total), inodes)) {
    return Error{ErrorCode::kNoSpace, "less than min_free of the disk's inodes would stay free"};
  }
  return {};
}

Result<void> checkFloorOf(int fd, const FreeFloor& floor, std::uint64_t bytes,
                          std::uint64_t inodes) {
  if (isOff(floor)) return {};
  struct statvfs disk {};
  if (::fstatvfs(fd, &disk) != 0) return errnoError("ask for the free disk", errno);
  return checkFloor(disk, floor, bytes, inodes);
}

Result<void> checkFloorAt(const std::filesystem::path& path, const FreeFloor& floor) {
  if (isOff(floor)) return {};
  struct statvfs disk {};
  if (::statvfs(path.c_str(), &disk) != 0) return errnoError("ask for the free disk", errno);
  return checkFloor(disk, floor, 0, 0);
}

}  // namespace egalaxyd
