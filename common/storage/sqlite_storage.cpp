#include "common/storage/sqlite_storage.h"

#include <spdlog/fmt/fmt.h>
#include <sqlite3.h>

#include <utility>

#include "common/storage/schema.h"
#include "common/storage/sqlite_tables.h"

namespace egalaxyd {
namespace sqlite {

/// The keys are of no use: the lock is the whole file.
Result<void> SqliteStorage::begin(Access access, const StorageKeys&) {
  if (depth_ == 0) db_.clearTrouble();
  if (transactionLost()) return *transactionLost_;
  if (depth_ > 0 && access_ == Access::kRead && access == Access::kWrite) {
    return Error{ErrorCode::kInvalid, "a write within a transaction that only reads"};
  }
  // A transaction that writes takes the lock at once: one that has read first would have to be
  // given up if another process wrote meanwhile.
  Result<void> begun = db_.run(depth_ > 0                 ? "SAVEPOINT inner_one"
                               : access == Access::kWrite ? "BEGIN IMMEDIATE"
                                                          : "BEGIN DEFERRED");
  if (!begun) return begun;
  if (depth_++ == 0) access_ = access;
  return {};
}

Result<void> SqliteStorage::commit() {
  const bool lost = transactionLost();
  Result<void> committed = lost         ? Result<void>(*transactionLost_)
                           : depth_ > 1 ? db_.run("RELEASE inner_one")
                                        : db_.run("COMMIT");
  if (committed) {
    --depth_;
    return committed;
  }
  rollback();
  if (!lost && depth_ == 0) overwriteFailedCommit();
  return committed;
}

void SqliteStorage::rollback() {
  if (!transactionLost()) {
    Result<void> undone = db_.run(depth_ > 1 ? "ROLLBACK TO inner_one" : "ROLLBACK");
    if (undone && depth_ > 1) undone = db_.run("RELEASE inner_one");
    if (!undone) transactionLost_ = undone.error();
  }
  if (--depth_ > 0) return;
  if (db_.inTransaction()) static_cast<void>(db_.run("ROLLBACK"));
  transactionLost_.reset();
}

/// A commit whose fsync failed may lie whole in the write-ahead log, where the next process that
/// recovers the log would take it for a good one. An empty commit overwrites it there.
void SqliteStorage::overwriteFailedCommit() {
  const auto script =
      fmt::format("BEGIN IMMEDIATE; PRAGMA user_version = {}; COMMIT", kSchemaVersion);
  static_cast<void>(db_.runScript(script.c_str()));
  if (db_.inTransaction()) static_cast<void>(db_.run("ROLLBACK"));
}

/// Whether SQLite has ended the outermost transaction by itself, as it does when the disk is full.
/// Each statement that followed would be committed on its own.
bool SqliteStorage::transactionLost() {
  if (depth_ > 0 && !transactionLost_ && !db_.inTransaction()) {
    transactionLost_ = db_.trouble().value_or(Error{ErrorCode::kIo, "the transaction is gone"});
  }
  return transactionLost_.has_value();
}

}  // namespace sqlite

std::string_view sqliteVersion() { return sqlite3_libversion(); }

Result<std::unique_ptr<Storage>> openSqliteStorage(const std::filesystem::path& file,
                                                   std::chrono::milliseconds busyTimeout,
                                                   const StorageLimits& limits) {
  Result<SqliteConnection> db = SqliteConnection::open(file, busyTimeout);
  if (!db) return db.error();
  const Result<int> version = checkSchemaVersion(*db, file);
  if (!version) return version.error();
  if (*version != kSchemaVersion) {
    return Error{ErrorCode::kIo,
                 fmt::format("{}: its tables are of version {}, not {}; restart egalaxyd",
                             file.string(), *version, kSchemaVersion)};
  }
  // temp_store: the sandbox leaves no folder for temporary files.
  const auto set = db->runScript(
      "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY");
  if (!set) return set.error();
  return std::unique_ptr<Storage>(
      std::make_unique<sqlite::SqliteStorage>(std::move(db).value(), limits));
}

}  // namespace egalaxyd
