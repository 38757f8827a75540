#include "common/storage/database_copy.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "common/base/errno_error.h"
#include "common/storage/schema.h"
#include "common/storage/sqlite_handle.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// For a checkpoint or a recovery that another process is at; a write needs no wait.
constexpr std::chrono::seconds kCopyPatience{10};
/// What the workers' writes are left with on the disk.
constexpr std::uint64_t kLeastLeft = 16 * 1024 * 1024;

void removeCopy(const fs::path& copy) {
  for (const char* ending : {"-journal", "-wal", "-shm", ""}) {
    ::unlink((copy.string() + ending).c_str());
  }
}

Result<void> checkRoom(const fs::path& file) {
  struct stat info {};
  struct statvfs disk {};
  if (::stat(file.c_str(), &info) != 0) return errnoError("look at " + file.string(), errno);
  if (::statvfs(file.c_str(), &disk) != 0) return errnoError("ask for the free disk", errno);
  const std::uint64_t needed = static_cast<std::uint64_t>(info.st_size) + kLeastLeft;
  const std::uint64_t free = disk.f_bavail * disk.f_frsize;
  if (free >= needed) return {};
  return Error{
      ErrorCode::kNoSpace,
      fmt::format("{} is copied beside itself first: that takes {} MiB, but only {} MiB of "
                  "the disk are free",
                  file.string(), needed >> 20, free >> 20)};
}

Result<void> check(SqliteConnection& database, const fs::path& file, const char* pragma) {
  SqliteQuery query(database, pragma);
  if (!query.next() && query.failed()) return query.error();
  const std::string verdict(query.text(0));
  if (verdict == "ok") return {};
  return Error{ErrorCode::kIo, file.string() + ": the database is damaged: " + verdict};
}

Result<void> copyInto(const fs::path& file, const fs::path& copy) {
  auto from = SqliteConnection::open(file, kCopyPatience);
  if (!from) return from.error();
  auto to = SqliteConnection::open(copy, kCopyPatience);
  if (!to) return to.error();
  // It is thrown away when this fails.
  const auto set = to->runScript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
  if (!set) return set;
  return from->copyInto(*to);
}

Result<void> checkCopy(const fs::path& copy) {
  auto database = SqliteConnection::open(copy, kCopyPatience);
  if (!database) return database.error();
  // The copy says of itself that it has a write-ahead log, as the database does.
  const auto set = database->runScript(
      "PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA journal_mode = DELETE");
  return set ? check(*database, copy, "PRAGMA quick_check(1)") : set;
}

}  // namespace

Result<UniqueFd> copyDatabase(const fs::path& file) {
  if (auto room = checkRoom(file); !room) return room.error();
  const fs::path copy = file.parent_path() / kDatabaseCopy;
  removeCopy(copy);
  UniqueFd fd(::open(copy.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return errnoError("make " + copy.string(), errno);
  auto copied = copyInto(file, copy);
  if (copied) copied = checkCopy(copy);
  removeCopy(copy);
  return copied ? Result<UniqueFd>(std::move(fd)) : copied.error();
}

Result<void> checkDatabase(const fs::path& file) {
  auto database = SqliteConnection::open(file, kCopyPatience);
  if (!database) return database.error();
  if (const auto version = checkSchemaVersion(*database, file); !version) return version.error();
  if (auto set = database->runScript("PRAGMA temp_store = MEMORY"); !set) return set;
  return check(*database, file, "PRAGMA integrity_check(1)");
}

}  // namespace egalaxyd
