#include "common/postgres/postgres_tables.h"

namespace egalaxyd::postgres {
namespace {

constexpr std::string_view kUploadColumns =
    "SELECT id, time, protocol, host, path, user_id, client, mime, size, sha256, previous_sha256, "
    "outcome, why, blocks, writer FROM uploads ";

/// Blocks that a file is counted with at most, and bytes: a row with more was not written by this
/// program.
constexpr std::int64_t kMostBlocks = 1000;
constexpr std::int64_t kMostFileBytes = std::int64_t{1} << 50;

/// The name in upload_sums that stands for all users together.
constexpr std::string_view kAllUsers = "*";

/// Each row with what it counts.
constexpr std::string_view kCounted =
    "(SELECT host, path, coalesce(user_id, '') AS who, least(greatest(size, 0), 1::bigint << 50) + "
    "4096 * least(greatest(blocks, 0), 1000) AS bytes, (blocks > 0)::int AS files FROM uploads "
    "WHERE latest AND outcome IN ('stored', 'replaced') UNION ALL "
    "SELECT host, path, coalesce(user_id, ''), least(greatest(size, 0), 1::bigint << 50) + "
    "4096 * least(greatest(blocks, 0), 1000), (blocks > 0)::int FROM pending_uploads) AS counted";

UploadRecord uploadOf(const Rows& rows, int row) {
  UploadRecord record;
  record.id = rows.integer(row, 0);
  record.time = wallTime(rows.integer(row, 1));
  record.protocol = text(rows, row, 2);
  record.host = text(rows, row, 3);
  record.path = text(rows, row, 4);
  record.user = text(rows, row, 5);
  record.client = text(rows, row, 6);
  record.mime = text(rows, row, 7);
  record.size = count(rows.integer(row, 8));
  record.sha256 = text(rows, row, 9);
  record.previousSha256 = text(rows, row, 10);
  record.outcome = uploadOutcome(rows.text(row, 11));
  record.why = text(rows, row, 12);
  record.blocks = std::min(count(rows.integer(row, 13)), count(kMostBlocks));
  record.writer = text(rows, row, 14);
  return record;
}

/// What a row of uploads or pending_uploads tells of a file.
struct CountedFile {
  std::string host;
  std::string path;
  std::string user;
  std::int64_t size = 0;
  std::int64_t blocks = 0;
  std::int64_t content = 0;
};

CountedFile fileOf(const Rows& rows, int row) {
  return {text(rows, row, 0),   text(rows, row, 1),   text(rows, row, 2),
          rows.integer(row, 3), rows.integer(row, 4), rows.integer(row, 5)};
}

/// `sign` is 1 for a file that counts from now on, -1 for one that does no more.
void addToSums(Lane& db, const CountedFile& file, std::int64_t sign) {
  const std::int64_t bytes = std::clamp<std::int64_t>(file.size, 0, kMostFileBytes) +
                             4096 * std::clamp<std::int64_t>(file.blocks, 0, kMostBlocks);
  const std::int64_t files = file.blocks > 0 ? 1 : 0;
  if (bytes == 0 && files == 0) return;
  db.later(
      "INSERT INTO upload_sums AS sums SELECT $1, prefix, who, $6, $4, $5 "
      "FROM upload_prefixes, unnest(ARRAY[$3, '*']) AS who WHERE host = $1 AND "
      "($2 = prefix OR starts_with($2, prefix || '/')) ORDER BY prefix, who "
      "ON CONFLICT (host, prefix, user_id, lane) DO UPDATE SET "
      "bytes = sums.bytes + excluded.bytes, files = sums.files + excluded.files",
      {file.host, file.path, file.user, sign * bytes, sign * files, db.slot()});
}

Result<CountedFile> pendingFile(Lane& db, std::int64_t pending) {
  const auto rows = db.query(
      "SELECT host, path, coalesce(user_id, ''), size, blocks, content FROM pending_uploads "
      "WHERE id = $1 FOR UPDATE",
      pending);
  if (!rows) return rows.error();
  if (rows->empty()) return noPending(pending);
  return fileOf(*rows, 0);
}

/// The latest record of a place is so no more, and loses its content.
Result<void> forgetLatest(Lane& db, std::string_view host, std::string_view path) {
  const auto rows = db.query(
      "WITH old AS (SELECT id, content FROM uploads WHERE host = $1 AND path = $2 AND latest "
      "FOR UPDATE) UPDATE uploads SET latest = false, content = NULL FROM old "
      "WHERE uploads.id = old.id RETURNING host, path, coalesce(user_id, ''), size, blocks, "
      "old.content, outcome IN ('stored', 'replaced')",
      host, path);
  if (!rows) return rows.error();
  for (int row = 0; row < rows->size(); ++row) {
    const CountedFile old = fileOf(*rows, row);
    giveBack(db, old.content);
    if (rows->integer(row, 6) != 0) addToSums(db, old, -1);
  }
  return {};
}

/// Whether upload_sums follows what is at or beneath `prefix`.
Result<bool> isSummed(Lane& db, std::string_view host, std::string_view prefix) {
  const auto rows =
      db.query("SELECT 1 FROM upload_prefixes WHERE host = $1 AND prefix = $2", host, prefix);
  if (!rows) return rows.error();
  return !rows->empty();
}

Result<KeptUploads> keptOf(const Result<Rows>& rows) {
  if (!rows) return rows.error();
  if (rows->empty()) return KeptUploads{};
  return KeptUploads{count(rows->integer(0, 0)), count(rows->integer(0, 1))};
}

Result<KeptUploads> addUp(Lane& db, std::string_view host, const PathRange& range,
                          std::string_view who) {
  return keptOf(db.query(
      fmt::format("SELECT sum(bytes)::bigint, sum(files)::bigint FROM {} WHERE host = $1 AND "
                  "(path = $2 OR (path >= $3 AND path < $4)) AND $5 IN (who, '*')",
                  kCounted),
      host, range.self, range.first, range.last, who));
}

/// Nobody changes a record meanwhile: one whose host knows of no quota yet would not be counted.
Result<void> beginSums(Storage& storage, Lane& db, std::string_view host, const PathRange& range) {
  return atomically(storage, Access::kWrite, [&]() -> Result<void> {
    db.later("LOCK TABLE uploads, pending_uploads IN SHARE ROW EXCLUSIVE MODE", {});
    auto done = execute(db, "INSERT INTO upload_prefixes VALUES($1, $2)", host, range.self);
    if (!done) return done;
    return execute(
        db,
        fmt::format(
            "INSERT INTO upload_sums SELECT $1, $2, name, '', sum(bytes), sum(files) FROM {}, "
            "unnest(ARRAY[who, '*']) AS name WHERE host = $1 AND "
            "(path = $2 OR (path >= $3 AND path < $4)) GROUP BY name",
            kCounted),
        host, range.self, range.first, range.last);
  });
}

}  // namespace

Result<void> forgetInSums(Lane& db, std::string_view user) {
  return execute(
      db,
      "WITH gone AS (DELETE FROM upload_sums WHERE user_id = $1 RETURNING *) "
      "INSERT INTO upload_sums AS sums SELECT host, prefix, '', $2, sum(bytes), sum(files) "
      "FROM gone GROUP BY host, prefix ORDER BY host, prefix "
      "ON CONFLICT (host, prefix, user_id, lane) DO UPDATE SET "
      "bytes = sums.bytes + excluded.bytes, files = sums.files + excluded.files",
      user, db.slot());
}

Result<std::int64_t> insertUpload(Lane& db, const UploadRecord& record, bool latest) {
  const auto rows = db.query(
      "INSERT INTO uploads(time, protocol, host, path, user_id, client, mime, size, sha256, "
      "previous_sha256, outcome, latest, why, blocks, writer, refusal) VALUES($1, $2, $3, $4, "
      "(SELECT id FROM users WHERE id = $5), $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
      "CASE WHEN $11 = 'refused' THEN nextval('refusals') END) "
      "RETURNING id, coalesce(user_id, '')",
      seconds(record.time), record.protocol, record.host, record.path, record.user, record.client,
      record.mime, static_cast<std::int64_t>(record.size), record.sha256, record.previousSha256,
      toString(record.outcome), latest, record.why, static_cast<std::int64_t>(record.blocks),
      record.writer);
  if (!rows) return rows.error();
  const bool counts = latest && (record.outcome == UploadOutcome::kStored ||
                                 record.outcome == UploadOutcome::kReplaced);
  if (counts) {
    const CountedFile file{record.host,
                           record.path,
                           text(*rows, 0, 1),
                           static_cast<std::int64_t>(record.size),
                           static_cast<std::int64_t>(record.blocks),
                           0};
    addToSums(db, file, 1);
  }
  return rows->integer(0, 0);
}

Result<std::int64_t> PostgresStorage::recordUpload(const UploadRecord& record) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
    const bool changed = record.outcome != UploadOutcome::kRefused;
    if (changed) {
      if (auto done = forgetLatest(db_, record.host, record.path); !done) return done.error();
    }
    const auto id = insertUpload(db_, record, changed);
    if (id && !changed) {
      db_.later(
          "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE refusal <= "
          "(SELECT refusal FROM uploads WHERE id = $1) - $2 FOR UPDATE SKIP LOCKED)",
          {*id, kMaxRefusedUploads});
    }
    return id;
  });
}

Result<std::int64_t> PostgresStorage::announceUpload(const UploadRecord& record) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
    const auto rows = db_.query(
        "INSERT INTO pending_uploads(time, protocol, host, path, user_id, client, mime, size, "
        "sha256, worker, unfinished, blocks, writer) VALUES($1, $2, $3, $4, "
        "(SELECT id FROM users WHERE id = $5), $6, $7, $8, $9, $10, $11, $12, $13) "
        "RETURNING id, coalesce(user_id, '')",
        seconds(record.time), record.protocol, record.host, record.path, record.user, record.client,
        record.mime, static_cast<std::int64_t>(record.size), record.sha256, record.worker,
        record.unfinished, static_cast<std::int64_t>(record.blocks), record.writer);
    if (!rows) return rows.error();
    const CountedFile file{record.host,
                           record.path,
                           text(*rows, 0, 1),
                           static_cast<std::int64_t>(record.size),
                           static_cast<std::int64_t>(record.blocks),
                           0};
    addToSums(db_, file, 1);
    return rows->integer(0, 0);
  });
}

Result<std::int64_t> PostgresStorage::settleUpload(std::int64_t pending, UploadOutcome outcome,
                                                   std::string_view previousSha256) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
    const auto file = pendingFile(db_, pending);
    if (!file) return file.error();
    if (auto done = forgetLatest(db_, file->host, file->path); !done) return done.error();
    // What it counts, it counts on, unless it is a deletion.
    const bool counts = outcome == UploadOutcome::kStored || outcome == UploadOutcome::kReplaced;
    if (!counts) addToSums(db_, *file, -1);
    const auto id = insert(
        db_,
        "INSERT INTO uploads(time, protocol, host, path, user_id, client, mime, size, sha256, "
        "previous_sha256, outcome, latest, blocks, writer, content) SELECT time, protocol, host, "
        "path, user_id, client, mime, size, sha256, $2, $3, true, blocks, writer, content "
        "FROM pending_uploads WHERE id = $1 RETURNING id",
        pending, previousSha256, toString(outcome));
    if (!id) return id;
    db_.later("UPDATE versions SET replaced_by = $1 WHERE replaced_by = $2", {*id, -pending});
    db_.later("DELETE FROM pending_uploads WHERE id = $1", {pending});
    return id;
  });
}

Result<void> PostgresStorage::dropUpload(std::int64_t pending) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    const auto file = pendingFile(db_, pending);
    if (!file) return file.error().code == ErrorCode::kNotFound ? Result<void>() : file.error();
    addToSums(db_, *file, -1);
    if (auto done = forgetVersion(db_, -pending); !done) return done;
    giveBack(db_, file->content);
    // First the user, while the pending row still says who that is.
    db_.later(
        "DELETE FROM users WHERE id IN (SELECT user_id FROM pending_uploads WHERE id = $1 "
        "AND time <= users.first_seen) "
        "AND NOT EXISTS (SELECT 1 FROM metadata WHERE user_id = users.id) "
        "AND NOT EXISTS (SELECT 1 FROM uploads WHERE user_id = users.id AND outcome <> 'refused') "
        "AND NOT EXISTS (SELECT 1 FROM pending_uploads WHERE user_id = users.id AND id <> $1)",
        {pending});
    db_.later("DELETE FROM pending_uploads WHERE id = $1", {pending});
    return {};
  });
}

Result<void> PostgresStorage::completeUpload(std::int64_t pending, std::string_view sha256) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    const auto changed =
        db_.run("UPDATE pending_uploads SET sha256 = $1 WHERE id = $2", sha256, pending);
    if (!changed) return changed.error();
    return *changed == 0 ? noPending(pending) : Result<void>();
  });
}

Result<std::vector<UploadRecord>> PostgresStorage::pendingUploads(std::int64_t after,
                                                                  std::size_t limit) {
  const auto rows = db_.query(
      "SELECT id, time, protocol, host, path, user_id, client, mime, size, sha256, "
      "'', '', '', blocks, writer, worker, unfinished FROM pending_uploads WHERE id > $1 "
      "ORDER BY id LIMIT $2",
      after, limited(limit));
  if (!rows) return rows.error();
  std::vector<UploadRecord> records;
  for (int row = 0; row < rows->size(); ++row) {
    records.push_back(uploadOf(*rows, row));
    records.back().worker = rows->integer(row, 15);
    records.back().unfinished = text(*rows, row, 16);
  }
  return records;
}

Result<std::vector<UploadRecord>> PostgresStorage::listUploads(const UploadFilter& filter) {
  const PathRange range(filter.path);
  const auto rows = db_.query(
      std::string(kUploadColumns) +
          "WHERE time >= $1 AND ($2 = '' OR host = $2) AND ($3 = '' OR user_id = $3) AND "
          "($4 = '' OR writer = $4) AND ($5 = '' OR path = $5 OR (path >= $6 AND path < $7)) "
          "ORDER BY time DESC, id DESC LIMIT $8",
      seconds(filter.since), filter.host, filter.user, filter.writer, range.self, range.first,
      range.last, limited(filter.limit));
  if (!rows) return rows.error();
  std::vector<UploadRecord> records;
  for (int row = 0; row < rows->size(); ++row) records.push_back(uploadOf(*rows, row));
  return records;
}

Result<UploadRecord> PostgresStorage::showUpload(std::int64_t id) {
  const auto rows = db_.query(std::string(kUploadColumns) + "WHERE id = $1", id);
  if (!rows) return rows.error();
  if (rows->empty()) return Error{ErrorCode::kNotFound, fmt::format("no upload {}", id)};
  return uploadOf(*rows, 0);
}

Result<std::optional<UploadRecord>> PostgresStorage::latestUpload(std::string_view host,
                                                                  std::string_view path) {
  const auto rows = db_.query(
      std::string(kUploadColumns) + "WHERE host = $1 AND path = $2 AND latest", host, path);
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<UploadRecord>();
  return std::optional(uploadOf(*rows, 0));
}

Result<KeptUploads> PostgresStorage::keptUploads(std::string_view host, std::string_view prefix,
                                                 std::optional<std::string_view> user) {
  const PathRange range(prefix);
  const std::string_view who = user.value_or(kAllUsers);
  const auto summed = isSummed(db_, host, range.self);
  if (!summed) return summed.error();
  if (!*summed && !db_.mayWrite()) return addUp(db_, host, range, who);
  if (!*summed) {
    if (auto begun = beginSums(*this, db_, host, range); !begun) return begun.error();
  }
  return keptOf(db_.query(
      "SELECT sum(bytes)::bigint, sum(files)::bigint FROM upload_sums WHERE host = $1 AND "
      "prefix = $2 AND user_id = $3",
      host, range.self, who));
}

}  // namespace egalaxyd::postgres
