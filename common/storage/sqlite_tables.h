// The class behind openSqliteStorage(): its transactions are in sqlite_storage.cpp, what it stores
// in sqlite_users.cpp, sqlite_metadata.cpp, sqlite_uploads.cpp and sqlite_versions.cpp. For those
// files alone.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/storage/sqlite_handle.h"
#include "common/storage/storage.h"
#include "common/storage/stored_values.h"

namespace egalaxyd::sqlite {

using stored::count;
using stored::kLongest;
using stored::noPending;
using stored::noSuchUser;
using stored::PathRange;
using stored::seconds;
using stored::wallTime;

/// A row of `uploads`, from the columns that sqlite_uploads.cpp names.
Result<std::int64_t> insertUpload(SqliteConnection& db, const UploadRecord& record, bool latest);
/// Forgets the version, settled or not; what is not there is forgotten already.
Result<void> forgetVersion(SqliteConnection& db, std::int64_t replacedBy);

/// A file that uploads change.
struct UploadPath {
  std::string host;
  std::string path;
};

/// One thread at a time, as every Storage.
class SqliteStorage final : public Storage {
 public:
  SqliteStorage(SqliteConnection db, const StorageLimits& limits)
      : db_(std::move(db)), limits_(limits) {}

  using Storage::begin;
  Result<void> begin(Access access, const StorageKeys& keys) override;
  Result<void> commit() override;
  void rollback() override;
  std::optional<Error> trouble() const override { return db_.trouble(); }

  Result<std::optional<std::string>> findUser(std::string_view certificate,
                                              std::string_view key) override;
  Result<std::string> resolveUser(std::string_view certificate, std::string_view key, WallTime now,
                                  std::string_view claimed) override;
  Result<void> addVisits(std::span<const Visit> visits) override;
  Result<std::uint64_t> expireUsers(WallTime lastSeen, std::size_t most) override;
  Result<std::vector<User>> listUsers(std::size_t limit) override;
  Result<User> showUser(std::string_view idOrPrefix) override;
  Result<ForgottenUser> forgetUser(std::string_view id) override;

  Result<std::map<std::string, std::string>> readMetadata(std::string_view user) override;
  Result<std::optional<std::string>> readMetadata(std::string_view user,
                                                  std::string_view key) override;
  Result<void> writeMetadata(std::string_view user, std::string_view key, std::string_view value,
                             WallTime now) override;
  Result<std::vector<MetadataEntry>> findMetadata(std::string_view prefix,
                                                  std::size_t limit) override;
  Result<void> removeMetadata(std::string_view user, std::string_view key) override;
  Result<std::uint64_t> expireMetadata(WallTime lastSeen, std::size_t most) override;

  Result<std::int64_t> recordUpload(const UploadRecord& record) override;
  Result<std::int64_t> announceUpload(const UploadRecord& record) override;
  Result<std::int64_t> settleUpload(std::int64_t pending, UploadOutcome outcome,
                                    std::string_view previousSha256) override;
  Result<void> dropUpload(std::int64_t pending) override;
  Result<void> completeUpload(std::int64_t pending, std::string_view sha256) override;
  Result<std::vector<UploadRecord>> pendingUploads(std::int64_t after, std::size_t limit) override;
  Result<std::vector<UploadRecord>> listUploads(const UploadFilter& filter) override;
  Result<UploadRecord> showUpload(std::int64_t id) override;
  Result<std::optional<UploadRecord>> latestUpload(std::string_view host,
                                                   std::string_view path) override;
  Result<KeptUploads> keptUploads(std::string_view host, std::string_view prefix,
                                  std::optional<std::string_view> user) override;

  Result<std::int64_t> appendContent(std::int64_t content, std::string_view bytes,
                                     WallTime now) override;
  Result<void> keepVersion(std::int64_t pending, const std::optional<OldContent>& old,
                           WallTime now) override;
  Result<void> pruneVersions(std::int64_t pending, std::string_view mount, const KeepRules& rules,
                             WallTime now) override;
  Result<std::uint64_t> expireVersions(WallTime now) override;
  Result<std::uint64_t> sweepContents(WallTime begun, std::size_t most) override;
  Result<std::optional<Version>> findVersion(std::int64_t upload) override;
  Result<std::optional<Version>> replacedVersion(std::int64_t upload) override;
  Result<std::string> readContent(std::int64_t content, std::uint64_t part) override;

 private:
  Result<std::int64_t> finishContent(const OldContent& old, WallTime now);
  Result<std::int64_t> recordOfContent(const UploadPath& place, const OldContent& old,
                                       WallTime now);
  void overwriteFailedCommit();
  bool transactionLost();

  SqliteConnection db_;
  const StorageLimits limits_;
  std::size_t depth_ = 0;                 ///< of transactions
  Access access_ = Access::kRead;         ///< of the outermost one
  std::optional<Error> transactionLost_;  ///< why the outermost one cannot be committed any more
};

}  // namespace egalaxyd::sqlite
