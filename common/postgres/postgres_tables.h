// The class behind openPostgresStorage(): its transactions are in postgres_storage.cpp, what it
// stores in postgres_users.cpp, postgres_metadata.cpp, postgres_uploads.cpp and
// postgres_versions.cpp. For those files alone.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/postgres/postgres_lane.h"
#include "common/storage/storage.h"
#include "common/storage/stored_values.h"

namespace egalaxyd::postgres {

using stored::count;
using stored::kLongest;
using stored::noPending;
using stored::noSuchUser;
using stored::PathRange;
using stored::seconds;
using stored::wallTime;

inline std::int64_t limited(std::size_t limit) {
  return static_cast<std::int64_t>(std::min<std::size_t>(limit, 1'000'000'000));
}

inline std::string text(const Rows& rows, int row, int column) {
  return std::string(rows.text(row, column).substr(0, kLongest));
}

/// An INSERT ... RETURNING id.
template <class... Values>
Result<std::int64_t> insert(Lane& db, std::string_view sql, const Values&... values) {
  const auto rows = db.query(sql, values...);
  if (!rows) return rows.error();
  return rows->empty() ? 0 : rows->integer(0, 0);
}
/// A statement of which only whether it worked is wanted.
template <class... Values>
Result<void> execute(Lane& db, std::string_view sql, const Values&... values) {
  const auto rows = db.query(sql, values...);
  return rows ? Result<void>() : rows.error();
}

/// A row of `uploads`.
Result<std::int64_t> insertUpload(Lane& db, const UploadRecord& record, bool latest);
/// Forgets the version, settled or not; what is not there is forgotten already.
Result<void> forgetVersion(Lane& db, std::int64_t replacedBy);
/// One less has the content; 0: none had.
void giveBack(Lane& db, std::int64_t content);
/// What the user's files count against quotas is nobody's from then on.
Result<void> forgetInSums(Lane& db, std::string_view user);

/// A file that uploads change.
struct UploadPath {
  std::string host;
  std::string path;
};

/// One thread at a time, as every Storage.
class PostgresStorage final : public Storage {
 public:
  PostgresStorage(std::unique_ptr<Lane> lane, const StorageLimits& limits)
      : lane_(std::move(lane)), db_(*lane_), limits_(limits) {}

  bool holdsContent() const override { return true; }
  bool countsVisitsApart() const override { return true; }

  using Storage::begin;
  Result<void> begin(Access access, const StorageKeys& keys) override {
    return db_.begin(access, keys);
  }
  Result<void> commit() override { return db_.commit(); }
  void rollback() override { db_.rollback(); }
  std::optional<Error> trouble() const override { return db_.trouble(); }
  Result<void> look() override { return db_.look(); }

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
  Result<void> bringContent(std::int64_t pending, const NewContent& content, WallTime now) override;
  Result<std::optional<std::int64_t>> contentOf(std::int64_t upload) override;
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
  /// A chore: runs `body`, which says how much it has done, unless another connection is at it.
  template <class Body>
  Result<std::uint64_t> byOneAtATime(std::string_view chore, Body body) {
    return atomically(*this, Access::kWrite, [&]() -> Result<std::uint64_t> {
      const auto taken = db_.tryKey(chore);
      if (!taken) return taken.error();
      return *taken ? body() : Result<std::uint64_t>(0);
    });
  }
  /// Content that is about to have one more who has it.
  struct Whole {
    std::string_view sha256;
    std::uint64_t size = 0;
    std::int64_t content = 0;
    std::string_view rest;
  };
  Result<bool> mayMakeUser(WallTime now);
  Result<std::string> makeUser(std::string_view certificate, std::string_view key, WallTime now,
                               std::string_view claimed);
  Result<void> countVisits(std::span<const Visit> visits);
  Result<void> makeVisitors(std::span<const Visit> visits,
                            std::map<std::string, std::string>& users);
  Result<std::int64_t> finishContent(const Whole& whole, WallTime now);
  Result<std::int64_t> recordOfContent(const UploadPath& place, const OldContent& old,
                                       WallTime now);

  const std::unique_ptr<Lane> lane_;
  Lane& db_;
  const StorageLimits limits_;
};

}  // namespace egalaxyd::postgres
