#include "common/storage/sqlite_storage.h"

#include <spdlog/fmt/fmt.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "common/storage/schema.h"
#include "common/storage/sqlite_handle.h"

namespace egalaxyd {
namespace {

std::int64_t seconds(WallTime time) { return time.time_since_epoch().count(); }

// A number that no version of this program wrote, and that others could not count with.
constexpr std::int64_t kYear9999 = 253'402'300'799;
WallTime wallTime(std::int64_t value) {
  return WallTime(std::chrono::seconds(std::clamp<std::int64_t>(value, 0, kYear9999)));
}
std::uint64_t count(std::int64_t value) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
}

/// Bytes of a text that are read: more than any that this program writes.
constexpr std::size_t kLongest = 8192;
/// Keys of a user that are read; more belong to nobody.
constexpr std::int64_t kMostKeys = 1000;

constexpr std::string_view kUploadColumns =
    "SELECT id, time, protocol, host, path, user, client, mime, size, sha256, previous_sha256, "
    "outcome, why, blocks FROM uploads ";

/// Of a file; more in a row was not written by this program.
constexpr std::int64_t kMostBlocks = 1000;

/// Whom upload_sums names for all users together.
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
  return record;
}

/// All paths beneath a prefix sort from `first` up to, and without, `last`.
struct PathRange {
  explicit PathRange(std::string_view prefix) {
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    self = prefix;
    first = self + '/';
    last = self + static_cast<char>('/' + 1);
  }
  std::string self;
  std::string first;
  std::string last;
};

class SqliteStorage final : public Storage {
 public:
  SqliteStorage(SqliteConnection db, const StorageLimits& limits)
      : db_(std::move(db)), limits_(limits) {}

  Result<void> begin(Access access) override {
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

  Result<void> commit() override {
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

  void rollback() override {
    if (!transactionLost()) {
      Result<void> undone = db_.run(depth_ > 1 ? "ROLLBACK TO inner_one" : "ROLLBACK");
      if (undone && depth_ > 1) undone = db_.run("RELEASE inner_one");
      if (!undone) transactionLost_ = undone.error();
    }
    if (--depth_ > 0) return;
    if (db_.inTransaction()) static_cast<void>(db_.run("ROLLBACK"));
    transactionLost_.reset();
  }

  std::optional<Error> trouble() const override { return db_.trouble(); }

  Result<std::optional<std::string>> findUser(std::string_view certificate,
                                              std::string_view key) override {
    if (auto checked = checkKeys(certificate, key); !checked) return checked.error();
    SqliteQuery query(db_, "SELECT user FROM user_keys WHERE key = ?", key);
    std::optional<std::string> user;
    if (query.next()) user = query.text(0);
    if (query.failed()) return query.error();
    return user;
  }

  Result<std::string> resolveUser(std::string_view certificate, std::string_view key,
                                  WallTime now) override {
    auto found = findUser(certificate, key);
    if (!found) return found.error();
    if (*found) return **found;
    return atomically(*this, Access::kWrite, [&]() -> Result<std::string> {
      // Between the first look and the lock another worker may have made the user.
      found = findUser(certificate, key);
      if (!found) return found.error();
      if (*found) return **found;
      const auto allowed = mayMakeUser(now);
      if (!allowed) return allowed.error();
      if (!*allowed) return tooManyNewUsers(limits_);
      return makeUser(certificate, key, now);
    });
  }

  Result<void> addVisits(std::span<const Visit> visits) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      for (const Visit& visit : visits) {
        auto user = findUser(visit.certificate, visit.key);
        if (!user) return user.error();
        if (!*user && visit.admitted) {
          const auto allowed = mayMakeUser(visit.last);
          if (!allowed) return allowed.error();
          if (*allowed) {
            auto made = makeUser(visit.certificate, visit.key, visit.last);
            if (!made) return made.error();
            *user = std::move(*made);
          }
        }
        if (!*user) continue;
        if (auto done =
                db_.run("UPDATE users SET visits = visits + ?, "
                        "last_seen = max(last_seen, ?) WHERE id = ?",
                        static_cast<std::int64_t>(visit.count), seconds(visit.last), **user);
            !done) {
          return done;
        }
      }
      return {};
    });
  }

  Result<std::map<std::string, std::string>> readMetadata(std::string_view user) override {
    SqliteQuery query(db_, "SELECT key, value FROM metadata WHERE user = ?", user);
    std::map<std::string, std::string> metadata;
    while (query.next()) {
      metadata.emplace(query.text(0).substr(0, kLongest),
                       query.text(1).substr(0, kMaxMetadataBytes));
    }
    if (query.failed()) return query.error();
    return metadata;
  }

  Result<std::optional<std::string>> readMetadata(std::string_view user,
                                                  std::string_view key) override {
    SqliteQuery query(db_, "SELECT value FROM metadata WHERE user = ? AND key = ?", user, key);
    std::optional<std::string> value;
    if (query.next()) value = query.text(0);
    if (query.failed()) return query.error();
    return value;
  }

  Result<void> writeMetadata(std::string_view user, std::string_view key, std::string_view value,
                             WallTime now) override {
    if (auto checked = checkMetadata(key, value); !checked) return checked;
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      if (auto seen = db_.run("UPDATE users SET last_seen = max(last_seen, ?) WHERE id = ?",
                              seconds(now), user);
          !seen) {
        return seen;
      }
      if (db_.changes() == 0) return noSuchUser(user);
      SqliteQuery query(db_,
                        "INSERT INTO metadata(user, key, updated, value) VALUES(?, ?, ?, ?) "
                        "ON CONFLICT DO UPDATE SET updated = excluded.updated, "
                        "value = excluded.value",
                        user, key, seconds(now));
      query.bindBlob(4, value);
      query.next();
      if (query.failed()) return query.error();
      return {};
    });
  }

  Result<std::vector<MetadataEntry>> findMetadata(std::string_view prefix,
                                                  std::size_t limit) override {
    // No byte of a key in UTF-8 sorts behind 0xff.
    const std::string behind = std::string(prefix) + '\xff';
    SqliteQuery query(db_,
                      "SELECT user, key, value, updated FROM metadata WHERE key >= ? AND key < ? "
                      "ORDER BY updated DESC, user, key LIMIT ?",
                      prefix, behind, static_cast<std::int64_t>(limit));
    std::vector<MetadataEntry> entries;
    while (query.next()) {
      entries.push_back({std::string(query.text(0)), std::string(query.text(1)),
                         std::string(query.text(2)), wallTime(query.integer(3))});
    }
    if (query.failed()) return query.error();
    return entries;
  }

  Result<void> removeMetadata(std::string_view user, std::string_view key) override {
    return atomically(*this, Access::kWrite, [&] {
      return db_.run("DELETE FROM metadata WHERE user = ? AND key = ?", user, key);
    });
  }

  Result<std::uint64_t> expireMetadata(WallTime lastSeen) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<std::uint64_t> {
      auto done = db_.run(
          "DELETE FROM metadata WHERE user IN "
          "(SELECT id FROM users WHERE last_seen < ?)",
          seconds(lastSeen));
      if (!done) return done.error();
      return db_.changes();
    });
  }

  Result<std::uint64_t> expireUsers(WallTime lastSeen, std::size_t most) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<std::uint64_t> {
      auto done = db_.run(
          "DELETE FROM users WHERE id IN (SELECT id FROM users WHERE last_seen < ? "
          "AND NOT EXISTS (SELECT 1 FROM metadata WHERE user = users.id) "
          "AND NOT EXISTS (SELECT 1 FROM uploads WHERE user = users.id AND outcome <> 'refused') "
          "AND NOT EXISTS (SELECT 1 FROM pending_uploads WHERE user = users.id) LIMIT ?)",
          seconds(lastSeen), static_cast<std::int64_t>(most));
      if (!done) return done.error();
      return db_.changes();
    });
  }

  Result<std::vector<User>> listUsers(std::size_t limit) override {
    // The plus signs keep SQLite from the primary key: the index on last_seen has the order.
    return selectUsers("+id >= ? AND +id < ? ORDER BY last_seen DESC, id", "", "g", limit);
  }

  Result<User> showUser(std::string_view idOrPrefix) override {
    if (idOrPrefix.empty()) return Error{ErrorCode::kInvalid, "an empty user id"};
    // Ids are hex digits: what begins with the prefix sorts before the prefix and a 'g'.
    auto users =
        selectUsers("id >= ? AND id < ? ORDER BY id", idOrPrefix, std::string(idOrPrefix) + 'g', 2);
    if (!users) return users.error();
    if (users->empty()) return noSuchUser(idOrPrefix);
    if (users->size() == 1) return std::move(users->front());
    return Error{ErrorCode::kInvalid,
                 fmt::format("several users begin with {}; give more digits", idOrPrefix)};
  }

  Result<ForgottenUser> forgetUser(std::string_view id) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<ForgottenUser> {
      // One by one, so that each is counted.
      ForgottenUser gone;
      std::uint64_t users = 0;
      std::uint64_t pending = 0;
      const std::pair<const char*, std::uint64_t*> steps[] = {
          {"DELETE FROM metadata WHERE user = ?", &gone.metadata},
          {"DELETE FROM user_keys WHERE user = ?", &gone.keys},
          {"UPDATE uploads SET user = NULL, client = '' WHERE user = ?", &gone.uploads},
          {"UPDATE pending_uploads SET user = NULL, client = '' WHERE user = ?", &pending},
          {"DELETE FROM users WHERE id = ?", &users}};
      for (const auto& [sql, count] : steps) {
        if (auto done = db_.run(sql, id); !done) return done.error();
        *count = db_.changes();
      }
      if (users == 0) return noSuchUser(id);
      return gone;
    });
  }

  Result<std::int64_t> recordUpload(const UploadRecord& record) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
      const bool changed = record.outcome != UploadOutcome::kRefused;
      if (changed) {
        if (auto done = forgetLatest(record.host, record.path); !done) return done.error();
      }
      const auto id = insertUpload(record, changed);
      if (!id || changed) return id;
      auto pruned = db_.run(
          "DELETE FROM uploads WHERE outcome = 'refused' AND id <= (SELECT id FROM uploads "
          "WHERE outcome = 'refused' ORDER BY id DESC LIMIT 1 OFFSET ?)",
          kMaxRefusedUploads);
      if (!pruned) return pruned.error();
      return id;
    });
  }

  Result<std::int64_t> announceUpload(const UploadRecord& record) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
      auto done = db_.run(
          "INSERT INTO pending_uploads(time, protocol, host, path, user, client, mime, size, "
          "sha256, worker, unfinished, blocks) "
          "VALUES(?, ?, ?, ?, (SELECT id FROM users WHERE id = ?), ?, ?, ?, ?, ?, ?, ?)",
          seconds(record.time), record.protocol, record.host, record.path, record.user,
          record.client, record.mime, static_cast<std::int64_t>(record.size), record.sha256,
          record.worker, record.unfinished, static_cast<std::int64_t>(record.blocks));
      if (!done) return done.error();
      return db_.lastRowId();
    });
  }

  Result<std::int64_t> settleUpload(std::int64_t pending, UploadOutcome outcome,
                                    std::string_view previousSha256) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
      auto done = db_.run(
          "UPDATE uploads SET latest = 0 WHERE latest = 1 AND "
          "host = (SELECT host FROM pending_uploads WHERE id = ?1) AND "
          "path = (SELECT path FROM pending_uploads WHERE id = ?1)",
          pending);
      if (!done) return done.error();
      done = db_.run(
          "INSERT INTO uploads(time, protocol, host, path, user, client, mime, size, sha256, "
          "previous_sha256, outcome, latest, blocks) SELECT time, protocol, host, path, user, "
          "client, "
          "mime, size, sha256, ?2, ?3, 1, blocks FROM pending_uploads WHERE id = ?1",
          pending, previousSha256, toString(outcome));
      if (!done) return done.error();
      if (db_.changes() == 0) return noPending(pending);
      const std::int64_t id = db_.lastRowId();
      done = db_.run("DELETE FROM pending_uploads WHERE id = ?", pending);
      if (!done) return done.error();
      return id;
    });
  }

  Result<void> dropUpload(std::int64_t pending) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      // Before the note goes, which tells who.
      auto done = db_.run(
          "DELETE FROM users WHERE id IN (SELECT user FROM pending_uploads WHERE id = ?1 "
          "AND time <= users.first_seen) "
          "AND NOT EXISTS (SELECT 1 FROM metadata WHERE user = users.id) "
          "AND NOT EXISTS (SELECT 1 FROM uploads WHERE user = users.id AND outcome <> 'refused') "
          "AND NOT EXISTS (SELECT 1 FROM pending_uploads WHERE user = users.id AND id <> ?1)",
          pending);
      return done ? db_.run("DELETE FROM pending_uploads WHERE id = ?", pending) : done;
    });
  }

  Result<void> completeUpload(std::int64_t pending, std::string_view sha256) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      auto done = db_.run("UPDATE pending_uploads SET sha256 = ? WHERE id = ?", sha256, pending);
      if (done && db_.changes() == 0) return noPending(pending);
      return done;
    });
  }

  Result<std::vector<UploadRecord>> pendingUploads(std::int64_t after, std::size_t limit) override {
    SqliteQuery query(db_,
                      "SELECT id, time, protocol, host, path, user, client, mime, size, sha256, "
                      "'', '', '', blocks, worker, unfinished FROM pending_uploads WHERE id > ? "
                      "ORDER BY id LIMIT ?",
                      after, static_cast<std::int64_t>(limit));
    std::vector<UploadRecord> records;
    while (query.next()) {
      records.push_back(uploadOf(query));
      records.back().worker = query.integer(14);
      records.back().unfinished = query.text(15);
    }
    if (query.failed()) return query.error();
    return records;
  }

  Result<std::vector<UploadRecord>> listUploads(const UploadFilter& filter) override {
    const PathRange range(filter.path);
    std::string sql = std::string(kUploadColumns) + "WHERE time >= ?";
    if (!filter.host.empty()) sql += " AND host = ?";
    if (!filter.user.empty()) sql += " AND user = ?";
    if (!range.self.empty()) sql += " AND (path = ? OR (path >= ? AND path < ?))";
    SqliteQuery query(db_, sql + " ORDER BY time DESC, id DESC LIMIT ?", seconds(filter.since));
    int index = 1;
    if (!filter.host.empty()) query.bind(++index, filter.host);
    if (!filter.user.empty()) query.bind(++index, filter.user);
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

  Result<UploadRecord> showUpload(std::int64_t id) override {
    SqliteQuery query(db_, std::string(kUploadColumns) + "WHERE id = ?", id);
    if (query.next()) return uploadOf(query);
    if (query.failed()) return query.error();
    return Error{ErrorCode::kNotFound, fmt::format("no upload {}", id)};
  }

  Result<std::optional<UploadRecord>> latestUpload(std::string_view host,
                                                   std::string_view path) override {
    SqliteQuery query(db_,
                      std::string(kUploadColumns) + "WHERE host = ? AND path = ? AND latest = 1",
                      host, path);
    std::optional<UploadRecord> record;
    if (query.next()) record = uploadOf(query);
    if (query.failed()) return query.error();
    return record;
  }

  Result<KeptUploads> keptUploads(std::string_view host, std::string_view prefix,
                                  std::optional<std::string_view> user) override {
    const PathRange range(prefix);
    const std::string_view who = user.value_or(kAllUsers);
    const auto summed = isSummed(host, range.self);
    if (!summed) return summed.error();
    if (!*summed && (depth_ == 0 || access_ == Access::kRead)) return addUp(host, range, who);
    if (!*summed) {
      if (auto begun = beginSums(host, range); !begun) return begun.error();
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

 private:
  static Result<void> checkKeys(std::string_view certificate, std::string_view key) {
    if (auto checked = checkFingerprint(certificate); !checked) return checked;
    return checkFingerprint(key);
  }

  static Error noSuchUser(std::string_view id) {
    return {ErrorCode::kNotFound, fmt::format("no user {}", id)};
  }

  static Error noPending(std::int64_t id) {
    return {ErrorCode::kNotFound, fmt::format("no pending upload {}", id)};
  }

  /// Whether upload_sums follows what is at or beneath `prefix`.
  Result<bool> isSummed(std::string_view host, std::string_view prefix) {
    SqliteQuery query(db_, "SELECT 1 FROM upload_prefixes WHERE host = ? AND prefix = ?", host,
                      prefix);
    const bool found = query.next();
    if (query.failed()) return query.error();
    return found;
  }

  Result<KeptUploads> addUp(std::string_view host, const PathRange& range, std::string_view who) {
    SqliteQuery query(db_,
                      "SELECT sum(bytes), sum(files) FROM counted_uploads WHERE host = ?1 AND "
                      "(path = ?2 OR (path >= ?3 AND path < ?4)) AND ?5 IN (user, '*')",
                      host, range.self, range.first, range.last, who);
    KeptUploads kept;
    if (query.next()) kept = {count(query.integer(0)), count(query.integer(1))};
    if (query.failed()) return query.error();
    return kept;
  }

  Result<void> beginSums(std::string_view host, const PathRange& range) {
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      auto done = db_.run("INSERT INTO upload_prefixes VALUES(?, ?)", host, range.self);
      if (!done) return done;
      return db_.run(
          "INSERT INTO upload_sums SELECT ?1, ?2, who, sum(bytes), sum(files) FROM ("
          "SELECT user AS who, bytes, files, host, path FROM counted_uploads UNION ALL "
          "SELECT '*', bytes, files, host, path FROM counted_uploads) WHERE host = ?1 AND "
          "(path = ?2 OR (path >= ?3 AND path < ?4)) GROUP BY who",
          host, range.self, range.first, range.last);
    });
  }

  Result<void> forgetLatest(std::string_view host, std::string_view path) {
    return db_.run("UPDATE uploads SET latest = 0 WHERE host = ? AND path = ? AND latest = 1", host,
                   path);
  }

  Result<std::int64_t> insertUpload(const UploadRecord& record, bool latest) {
    auto done = db_.run(
        "INSERT INTO uploads(time, protocol, host, path, user, client, mime, size, sha256, "
        "previous_sha256, outcome, latest, why, blocks) VALUES(?, ?, ?, ?, "
        "(SELECT id FROM users WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        seconds(record.time), record.protocol, record.host, record.path, record.user, record.client,
        record.mime, static_cast<std::int64_t>(record.size), record.sha256, record.previousSha256,
        toString(record.outcome), std::int64_t{latest}, record.why,
        static_cast<std::int64_t>(record.blocks));
    if (!done) return done.error();
    return db_.lastRowId();
  }

  /// A commit whose fsync failed may stand in the write-ahead log, whole, where the next process
  /// that recovers the log would take it for one. Another commit takes its place there.
  void overwriteFailedCommit() {
    const auto script =
        fmt::format("BEGIN IMMEDIATE; PRAGMA user_version = {}; COMMIT", kSchemaVersion);
    static_cast<void>(db_.runScript(script.c_str()));
    if (db_.inTransaction()) static_cast<void>(db_.run("ROLLBACK"));
  }

  /// Whether the outermost transaction is beyond saving. A full disk and its like end a transaction
  /// without being asked, and what followed would commit by itself.
  bool transactionLost() {
    if (depth_ > 0 && !transactionLost_ && !db_.inTransaction()) {
      transactionLost_ = db_.trouble().value_or(Error{ErrorCode::kIo, "the transaction is gone"});
    }
    return transactionLost_.has_value();
  }

  Result<bool> mayMakeUser(WallTime now) {
    if (limits_.newUsersPerMinute == 0) return true;
    SqliteQuery query(db_, "SELECT count(*) FROM users WHERE first_seen > ? AND first_seen <= ?",
                      seconds(now - std::chrono::minutes(1)), seconds(now));
    const std::uint64_t made = query.next() ? count(query.integer(0)) : 0;
    if (query.failed()) return query.error();
    return made < limits_.newUsersPerMinute;
  }

  Result<std::string> makeUser(std::string_view certificate, std::string_view key, WallTime now) {
    if (auto made = db_.run("INSERT INTO users VALUES(?, ?, ?, 0) ON CONFLICT DO NOTHING",
                            certificate, seconds(now), seconds(now));
        !made) {
      return made.error();
    }
    if (auto made = db_.run("INSERT INTO user_keys VALUES(?, ?)", key, certificate); !made) {
      return made.error();
    }
    return std::string(certificate);
  }

  Result<std::vector<User>> selectUsers(std::string_view where, std::string_view from,
                                        std::string_view to, std::size_t limit) {
    SqliteQuery query(db_,
                      fmt::format("SELECT id, first_seen, last_seen, visits FROM users WHERE {} "
                                  "LIMIT ?",
                                  where),
                      from, to, static_cast<std::int64_t>(limit));
    std::vector<User> users;
    while (query.next()) {
      users.push_back({.id = std::string(query.text(0).substr(0, kLongest)),
                       .firstSeen = wallTime(query.integer(1)),
                       .lastSeen = wallTime(query.integer(2)),
                       .visits = count(query.integer(3))});
      SqliteQuery keys(db_, "SELECT key FROM user_keys WHERE user = ? ORDER BY key LIMIT ?",
                       users.back().id, kMostKeys);
      while (keys.next()) users.back().keys.emplace_back(keys.text(0));
      if (keys.failed()) return keys.error();
    }
    if (query.failed()) return query.error();
    return users;
  }

  SqliteConnection db_;
  const StorageLimits limits_;
  std::size_t depth_ = 0;                 ///< of transactions
  Access access_ = Access::kRead;         ///< of the outermost one
  std::optional<Error> transactionLost_;  ///< why the outermost one cannot be committed any more
};

}  // namespace

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
  // The sandbox leaves no folder for temporary files.
  const auto set = db->runScript(
      "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY");
  if (!set) return set.error();
  return std::unique_ptr<Storage>(std::make_unique<SqliteStorage>(std::move(db).value(), limits));
}

}  // namespace egalaxyd
