#include "worker/upload/upload_recovery.h"

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <filesystem>
#include <limits>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/sha256.h"
#include "common/content/upload_place.h"
#include "common/file/site_root.h"
#include "common/storage/schema.h"
#include "common/storage/sqlite_storage.h"
#include "worker/upload/empty_folders.h"
#include "worker/upload/unfinished.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// SQLite's busy timeout: how long to wait for a worker's write.
constexpr auto kBusyTimeout = std::chrono::seconds(5);
/// Records in memory at once.
constexpr std::size_t kBatch = 64;
/// Attempts with a file that keeps changing.
constexpr int kLooks = 3;

/// The state of a file at one moment, to detect changes.
struct Look {
  bool isThere = false;
  struct stat status {};

  bool same(const Look& other) const {
    if (!isThere || !other.isThere) return isThere == other.isThere;
    const auto& a = status;
    const auto& b = other.status;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
           a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
  }
};

/// Whether the error tells nothing yet, unlike "it is not there".
bool mayPass(const Error& error) {
  return error.code == ErrorCode::kIo || error.code == ErrorCode::kBusy ||
         error.code == ErrorCode::kNoSpace;
}

/// Leaves the file open in `file`, if given.
Result<Look> lookAt(const RecordPlace& place, UniqueFd* file = nullptr) {
  auto opened = place.root.open(place.relative, Waiting::kAllowed);
  if (!opened && mayPass(opened.error())) return opened.error();
  if (!opened || opened->isFolder()) return Look{};
  if (file != nullptr) *file = std::move(opened->fd);
  return Look{true, opened->status};
}

/// Whether the change that `record` announces has happened, if the file is as in `look`.
Result<bool> hasHappened(const UploadRecord& record, const Look& look, const UniqueFd& file) {
  const bool isDeletion = record.sha256.empty() && record.size == 0;
  if (isDeletion) return !look.isThere;
  if (!look.isThere || static_cast<std::uint64_t>(look.status.st_size) != record.size) return false;
  auto sum = sha256OfFile(file.get());
  if (!sum) return sum.error();
  return *sum == record.sha256;
}

/// Records of older servers do not tell the name: all unfinished files go.
std::size_t removeUnfinished(const RecordPlace& place, const UploadRecord& record) {
  const auto folder = place.root.open(place.folder(), Waiting::kAllowed);
  if (!folder || !folder->isFolder()) return 0;
  const std::string& name = record.unfinished;
  if (name.empty() && record.worker == 0) return removeAllAbandoned(folder->fd.get());
  const bool wellFormed = name.starts_with(kUnfinishedPrefix) && name.size() <= NAME_MAX &&
                          name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
  return wellFormed && removeAbandoned(folder->fd.get(), name.c_str()) ? 1 : 0;
}

/// Syncs the file's folder and those that it is in: some may have been made for the file.
Result<void> syncFolders(const RecordPlace& place) {
  std::string path = place.folder();
  for (;;) {
    const auto folder = place.root.open(path, Waiting::kAllowed);
    if (!folder) return folder.error();
    if (::fsync(folder->fd.get()) != 0) return errnoError("fsync folder", errno);
    if (path.empty() || !place.rules().createDirectories) return {};
    path.resize(path.find('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

/// Settles (true) or drops (false) the record. Within a transaction: no worker publishes meanwhile.
Result<bool> conclude(Storage& storage, const UploadRecord& record, const RecordPlace& place,
                      bool happened) {
  const auto before = storage.latestUpload(record.host, record.path);
  if (!before) return before.error();
  const std::string previous = *before ? (*before)->sha256 : "";
  // The latest record describes the file already.
  const bool isRecorded = *before && previous == record.sha256;
  if (!happened || isRecorded) {
    auto dropped = storage.dropUpload(record.id);
    return dropped ? Result<bool>(false) : dropped.error();
  }
  if (auto synced = syncFolders(place); !synced) return synced.error();
  const UploadOutcome outcome = record.sha256.empty() ? UploadOutcome::kDeleted
                                : previous.empty()    ? UploadOutcome::kStored
                                                      : UploadOutcome::kReplaced;
  const auto settled = storage.settleUpload(record.id, outcome, previous);
  if (!settled) return settled.error();
  return true;
}

/// True: settled; false: dropped. Reads the file before it takes the storage's lock; under the lock
/// it only checks that the file has not changed.
Result<bool> recover(Storage& storage, const RecordPlace& place, const UploadRecord& record) {
  for (int looks = 0; looks < kLooks; ++looks) {
    UniqueFd file;
    const auto look = lookAt(place, &file);
    if (!look) return look.error();
    const auto happened = hasHappened(record, *look, file);
    if (!happened) return happened.error();
    auto concluded = atomically(storage, Access::kWrite, [&]() -> Result<std::optional<bool>> {
      const auto again = lookAt(place);
      if (!again) return again.error();
      if (!look->same(*again)) return std::optional<bool>();
      const auto settled = conclude(storage, record, place, *happened);
      if (!settled) return settled.error();
      return std::optional(*settled);
    });
    if (!concluded) return concluded.error();
    if (*concluded) return **concluded;
  }
  // The file keeps changing, so it is not this upload's any more.
  auto dropped = storage.dropUpload(record.id);
  return dropped ? Result<bool>(false) : dropped.error();
}

void recoverOne(Storage& storage, const UploadTrees& trees, const UploadRecord& record,
                RecoveredUploads& recovered) {
  const auto done = [&]() -> Result<bool> {
    const auto place = placeOf(trees, record);
    if (place) {
      // First, since without the record nobody would know of the file.
      recovered.removed += removeUnfinished(*place, record);
      auto concluded = recover(storage, *place, record);
      // Folders that were made for an upload that failed, or emptied by a deletion.
      if (place->rules().createDirectories) {
        removeEmptyFolders(place->root, place->folder(), place->rules().depth);
      }
      return concluded;
    }
    if (mayPass(place.error())) return place.error();
    auto dropped = storage.dropUpload(record.id);
    return dropped ? Result<bool>(false) : dropped.error();
  }();
  if (!done) {
    ++recovered.left;
    recovered.why = done.error().message;
  } else {
    ++(*done ? recovered.settled : recovered.dropped);
  }
}

}  // namespace

Result<RecoveredUploads> recoverUploads(const Config& config, const DeadWorkers& dead) {
  RecoveredUploads recovered;
  const fs::path database = config.server.stateDir / kDatabaseFile;
  std::error_code error;
  if (!fs::exists(database, error)) return recovered;
  auto storage = openSqliteStorage(database, kBusyTimeout);
  if (!storage) return storage.error();
  const UploadTrees trees = uploadTreesOf(config);
  for (std::int64_t after = std::numeric_limits<std::int64_t>::min();;) {
    const auto pending = (*storage)->pendingUploads(after, kBatch);
    if (!pending) return pending.error();
    if (pending->empty()) return recovered;
    after = pending->back().id;
    for (const UploadRecord& record : *pending) {
      if (!dead.contains(record.worker)) continue;
      recoverOne(**storage, trees, record, recovered);
    }
  }
}

}  // namespace egalaxyd
