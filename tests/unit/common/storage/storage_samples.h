// Users and records to store.
#pragma once

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "common/storage/schema.h"
#include "common/storage/sqlite_handle.h"
#include "common/storage/sqlite_storage.h"

namespace egalaxyd {

/// 64 hex digits that begin with `name`, itself of hex digits.
inline std::string fingerprint(std::string_view name) {
  return std::string(name) + std::string(64 - name.size(), '0');
}

inline WallTime at(std::int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

/// A file stored by `user` ("" = nobody) at example.org.
inline UploadRecord stored(std::string path, std::uint64_t size, std::string user = "") {
  UploadRecord record;
  record.time = at(1000);
  record.protocol = "titan";
  record.host = "example.org";
  record.path = std::move(path);
  record.user = std::move(user);
  record.client = "192.0.2.0";
  record.mime = "text/gemini";
  record.size = size;
  record.sha256 = fingerprint("5a");
  return record;
}

inline UploadRecord deleted(std::string path, std::string user = "") {
  UploadRecord record = stored(std::move(path), 0, std::move(user));
  record.previousSha256 = std::exchange(record.sha256, "");
  record.outcome = UploadOutcome::kDeleted;
  return record;
}

/// The value, or an exception that fails the test.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(result).value();
}
inline void must(Result<void> result) {
  if (!result) throw std::runtime_error(result.error().message);
}

inline void runSql(const std::filesystem::path& file, const std::string& sql) {
  must(must(SqliteConnection::open(file, {})).runScript(sql.c_str()));
}

inline std::unique_ptr<Storage> migratedSqlite(const std::filesystem::path& file,
                                               const StorageLimits& limits = {}) {
  must(migrateStorage(file));
  return must(openSqliteStorage(file, std::chrono::seconds(20), limits));
}

}  // namespace egalaxyd
