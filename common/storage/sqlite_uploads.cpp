#include "common/storage/sqlite_tables.h"

namespace egalaxyd::sqlite {
namespace {

constexpr std::string_view kUploadColumns =
    "SELECT id, time, protocol, host, path, user, client, mime, size, sha256, previous_sha256, "
    "outcome, why, blocks, writer FROM uploads ";

/// Blocks that a file is counted with at most; a row with more was not written by this program.
constexpr std::int64_t kMostBlocks = 1000;

/// The name in upload_sums that stands for all users together.
constexpr std::string_view kAllUsers = "*";

UploadRecord uploadOf(const SqliteQuery& row) {
  const auto text = [&](int column) { return std::string(row.text(column).substr(0, kLongest)); };
  UploadRecord record;
  record.id = row.integer(0);
  record.time = wallTime(row.integer(1));
  record.protocol = text(2);
  record.host = text(3);
  record.path = text(4);
  record.user = text(5);
  record.client = text(6);
  record.mime = text(7);
  record.size = count(row.integer(8));
  record.sha256 = text(9);
  record.previousSha256 = text(10);
  record.outcome = uploadOutcome(row.text(11));
  record.why = text(12);
  record.blocks = std::min(count(row.integer(13)), count(kMostBlocks));
  record.writer = text(14);
  return record;
}

/// Whether upload_sums follows what is at or beneath `prefix`.
Result<bool> isSummed(SqliteConnection& db, std::string_view host, std::string_view prefix) {
  SqliteQuery query(db, "SELECT 1 FROM upload_prefixes WHERE host = ? AND prefix = ?", host,
                    prefix);
  const bool found = query.next();
  if (query.failed()) return query.error();
  return found;
}

Result<KeptUploads> addUp(SqliteConnection& db, std::string_view host, const PathRange& range,
                          std::string_view who) {
  SqliteQuery query(db,
                    "SELECT sum(bytes), sum(files) FROM counted_uploads WHERE host = ?1 AND "
                    "(path = ?2 OR (path >= ?3 AND path < ?4)) AND ?5 IN (user, '*')",
                    host, range.self, range.first, range.last, who);
  KeptUploads kept;
  if (query.next()) kept = {count(query.integer(0)), count(query.integer(1))};
  if (query.failed()) return query.error();
  return kept;
}

Result<void> beginSums(Storage& storage, SqliteConnection& db, std::string_view host,
                       const PathRange& range) {
  return atomically(storage, Access::kWrite, [&]() -> Result<void> {
    auto done = db.run("INSERT INTO upload_prefixes VALUES(?, ?)", host, range.self);
    if (!done) return done;
    return db.run(
        "INSERT INTO upload_sums SELECT ?1, ?2, who, sum(bytes), sum(files) FROM ("
        "SELECT user AS who, bytes, files, host, path FROM counted_uploads UNION ALL "
        "SELECT '*', bytes, files, host, path FROM counted_uploads) WHERE host = ?1 AND "
        "(path = ?2 OR (path >= ?3 AND path < ?4)) GROUP BY who",
        host, range.self, range.first, range.last);
  });
}

Result<void> forgetLatest(SqliteConnection& db, std::string_view host, std::string_view path) {
  return db.run("UPDATE uploads SET latest = 0 WHERE host = ? AND path = ? AND latest = 1", host,
                path);
}

}  // namespace

Result<std::int64_t> insertUpload(SqliteConnection& db, const UploadRecord& record, bool latest) {
  auto done = db.run(
      "INSERT INTO uploads(time, protocol, host, path, user, client, mime, size, sha256, "
      "previous_sha256, outcome, latest, why, blocks, writer) VALUES(?, ?, ?, ?, "
      "(SELECT id FROM users WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      seconds(record.time), record.protocol, record.host, record.path, record.user, record.client,
      record.mime, static_cast<std::int64_t>(record.size), record.sha256, record.previousSha256,
      toString(record.outcome), std::int64_t{latest}, record.why,
      static_cast<std::int64_t>(record.blocks), record.writer);
  if (!done) return done.error();
  return db.lastRowId();
}

Result<std::int64_t> SqliteStorage::recordUpload(const UploadRecord& record) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
    const bool changed = record.outcome != UploadOutcome::kRefused;
    if (changed) {
      if (auto done = forgetLatest(db_, record.host, record.path); !done) return done.error();
    }
    const auto id = insertUpload(db_, record, changed);
    if (!id || changed) return id;
    auto pruned = db_.run(
        "DELETE FROM uploads WHERE outcome = 'refused' AND id <= (SELECT id FROM uploads "
        "WHERE outcome = 'refused' ORDER BY id DESC LIMIT 1 OFFSET ?)",
        kMaxRefusedUploads);
    if (!pruned) return pruned.error();
    return id;
  });
}

Result<std::int64_t> SqliteStorage::announceUpload(const UploadRecord& record) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
    auto done = db_.run(
        "INSERT INTO pending_uploads(time, protocol, host, path, user, client, mime, size, "
        "sha256, worker, unfinished, blocks, writer) "
        "VALUES(?, ?, ?, ?, (SELECT id FROM users WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?)",
        seconds(record.time), record.protocol, record.host, record.path, record.user, record.client,
        record.mime, static_cast<std::int64_t>(record.size), record.sha256, record.worker,
        record.unfinished, static_cast<std::int64_t>(record.blocks), record.writer);
    if (!done) return done.error();
    return db_.lastRowId();
  });
}

Result<std::int64_t> SqliteStorage::settleUpload(std::int64_t pending, UploadOutcome outcome,
                                                 std::string_view previousSha256) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
    auto done = db_.run(
        "UPDATE uploads SET latest = 0 WHERE latest = 1 AND "
        "host = (SELECT host FROM pending_uploads WHERE id = ?1) AND "
        "path = (SELECT path FROM pending_uploads WHERE id = ?1)",
        pending);
    if (!done) return done.error();
    done = db_.run(
        "INSERT INTO uploads(time, protocol, host, path, user, client, mime, size, sha256, "
        "previous_sha256, outcome, latest, blocks, writer) SELECT time, protocol, host, path, "
        "user, "
        "client, mime, size, sha256, ?2, ?3, 1, blocks, writer FROM pending_uploads WHERE id = ?1",
        pending, previousSha256, toString(outcome));
    if (!done) return done.error();
    if (db_.changes() == 0) return noPending(pending);
    const std::int64_t id = db_.lastRowId();
    done = db_.run("UPDATE versions SET replaced_by = ? WHERE replaced_by = ?", id, -pending);
    if (done) done = db_.run("DELETE FROM pending_uploads WHERE id = ?", pending);
    if (!done) return done.error();
    return id;
  });
}

Result<void> SqliteStorage::dropUpload(std::int64_t pending) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    // First the user, while the pending row still says who that is.
    auto done = db_.run(
        "DELETE FROM users WHERE id IN (SELECT user FROM pending_uploads WHERE id = ?1 "
        "AND time <= users.first_seen) "
        "AND NOT EXISTS (SELECT 1 FROM metadata WHERE user = users.id) "
        "AND NOT EXISTS (SELECT 1 FROM uploads WHERE user = users.id AND outcome <> 'refused') "
        "AND NOT EXISTS (SELECT 1 FROM pending_uploads WHERE user = users.id AND id <> ?1)",
        pending);
    if (done) done = forgetVersion(db_, -pending);
    return done ? db_.run("DELETE FROM pending_uploads WHERE id = ?", pending) : done;
  });
}

Result<void> SqliteStorage::completeUpload(std::int64_t pending, std::string_view sha256) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    auto done = db_.run("UPDATE pending_uploads SET sha256 = ? WHERE id = ?", sha256, pending);
    if (done && db_.changes() == 0) return noPending(pending);
    return done;
  });
}

Result<std::vector<UploadRecord>> SqliteStorage::pendingUploads(std::int64_t after,
                                                                std::size_t limit) {
  SqliteQuery query(
      db_,
      "SELECT id, time, protocol, host, path, user, client, mime, size, sha256, "
      "'', '', '', blocks, writer, worker, unfinished FROM pending_uploads WHERE id > ? "
      "ORDER BY id LIMIT ?",
      after, static_cast<std::int64_t>(limit));
  std::vector<UploadRecord> records;
  while (query.next()) {
    records.push_back(uploadOf(query));
    records.back().worker = query.integer(15);
    records.back().unfinished = query.text(16);
  }
  if (query.failed()) return query.error();
  return records;
}

Result<std::vector<UploadRecord>> SqliteStorage::listUploads(const UploadFilter& filter) {
  const PathRange range(filter.path);
  std::string sql = std::string(kUploadColumns) + "WHERE time >= ?";
  if (!filter.host.empty()) sql += " AND host = ?";
  if (!filter.user.empty()) sql += " AND user = ?";
  if (!filter.writer.empty()) sql += " AND writer = ?";
  if (!range.self.empty()) sql += " AND (path = ? OR (path >= ? AND path < ?))";
  SqliteQuery query(db_, sql + " ORDER BY time DESC, id DESC LIMIT ?", seconds(filter.since));
  int index = 1;
  if (!filter.host.empty()) query.bind(++index, filter.host);
  if (!filter.user.empty()) query.bind(++index, filter.user);
  if (!filter.writer.empty()) query.bind(++index, filter.writer);
  if (!range.self.empty()) {
    for (const std::string* part : {&range.self, &range.first, &range.last}) {
      query.bind(++index, *part);
    }
  }
  query.bind(++index, static_cast<std::int64_t>(filter.limit));
  std::vector<UploadRecord> records;
  while (query.next()) records.push_back(uploadOf(query));
  if (query.failed()) return query.error();
  return records;
}

Result<UploadRecord> SqliteStorage::showUpload(std::int64_t id) {
  SqliteQuery query(db_, std::string(kUploadColumns) + "WHERE id = ?", id);
  if (query.next()) return uploadOf(query);
  if (query.failed()) return query.error();
  return Error{ErrorCode::kNotFound, fmt::format("no upload {}", id)};
}

Result<std::optional<UploadRecord>> SqliteStorage::latestUpload(std::string_view host,
                                                                std::string_view path) {
  SqliteQuery query(db_, std::string(kUploadColumns) + "WHERE host = ? AND path = ? AND latest = 1",
                    host, path);
  std::optional<UploadRecord> record;
  if (query.next()) record = uploadOf(query);
  if (query.failed()) return query.error();
  return record;
}

Result<KeptUploads> SqliteStorage::keptUploads(std::string_view host, std::string_view prefix,
                                               std::optional<std::string_view> user) {
  const PathRange range(prefix);
  const std::string_view who = user.value_or(kAllUsers);
  const auto summed = isSummed(db_, host, range.self);
  if (!summed) return summed.error();
  if (!*summed && (depth_ == 0 || access_ == Access::kRead)) return addUp(db_, host, range, who);
  if (!*summed) {
    if (auto begun = beginSums(*this, db_, host, range); !begun) return begun.error();
  }
  SqliteQuery query(db_,
                    "SELECT bytes, files FROM upload_sums "
                    "WHERE host = ? AND prefix = ? AND user = ?",
                    host, range.self, who);
  KeptUploads kept;
  if (query.next()) kept = {count(query.integer(0)), count(query.integer(1))};
  if (query.failed()) return query.error();
  return kept;
}

}  // namespace egalaxyd::sqlite
