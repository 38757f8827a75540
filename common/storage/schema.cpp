#include "common/storage/schema.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {
namespace {

// The tables of an empty file.
constexpr const char* kTables = R"(
    CREATE TABLE users(
      id TEXT PRIMARY KEY,
      first_seen INTEGER NOT NULL,
      last_seen INTEGER NOT NULL,
      visits INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Who came last, who has not come for long, and who is new.
    CREATE INDEX users_last_seen ON users(last_seen DESC);
    CREATE INDEX users_first_seen ON users(first_seen);

    CREATE TABLE user_keys(
      key TEXT PRIMARY KEY,
      user TEXT NOT NULL REFERENCES users ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX user_keys_user ON user_keys(user);

    CREATE TABLE metadata(
      user TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
      key TEXT NOT NULL,
      value BLOB NOT NULL,
      updated INTEGER NOT NULL,
      PRIMARY KEY(user, key)
    ) STRICT;
    -- What all users keep under one kind of key.
    CREATE INDEX metadata_key ON metadata(key);

    -- Uploads that ended: stored, replaced a file, deleted one, or refused.
    CREATE TABLE uploads(
      id INTEGER PRIMARY KEY,
      time INTEGER NOT NULL,
      protocol TEXT NOT NULL,
      host TEXT NOT NULL,
      path TEXT NOT NULL,
      user TEXT REFERENCES users ON DELETE SET NULL,
      client TEXT NOT NULL,
      mime TEXT NOT NULL,
      size INTEGER NOT NULL,
      sha256 TEXT NOT NULL,
      previous_sha256 TEXT NOT NULL,
      outcome TEXT NOT NULL,
      latest INTEGER NOT NULL,  -- 1: of its host and path
      why TEXT NOT NULL DEFAULT '',
      blocks INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    -- Each index is a page to write for each upload, so there are few.
    CREATE INDEX uploads_place ON uploads(host, path, latest);
    CREATE INDEX uploads_user ON uploads(user) WHERE user IS NOT NULL;
    CREATE INDEX uploads_time ON uploads(time);
    CREATE INDEX uploads_refused ON uploads(id) WHERE outcome = 'refused';

    -- Announced uploads come and go with each upload, so they stand where no index has to follow.
    CREATE TABLE pending_uploads(
      id INTEGER PRIMARY KEY,
      time INTEGER NOT NULL,
      protocol TEXT NOT NULL,
      host TEXT NOT NULL,
      path TEXT NOT NULL,
      user TEXT REFERENCES users ON DELETE SET NULL,
      client TEXT NOT NULL,
      mime TEXT NOT NULL,
      size INTEGER NOT NULL,
      sha256 TEXT NOT NULL,
      worker INTEGER NOT NULL DEFAULT 0,     -- its death ends the upload
      unfinished TEXT NOT NULL DEFAULT '',  -- the name of what it leaves beside the file
      blocks INTEGER NOT NULL DEFAULT 1
    ) STRICT;

    -- Quotas: what is kept below the prefixes that have one, summed up as it comes and goes, so
    -- that no upload takes longer the more there are.
    CREATE TABLE upload_prefixes(
      host TEXT NOT NULL,
      prefix TEXT NOT NULL,
      PRIMARY KEY(host, prefix)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE upload_sums(
      host TEXT NOT NULL,
      prefix TEXT NOT NULL,
      user TEXT NOT NULL,  -- '': those without one; '*': all together
      bytes INTEGER NOT NULL,
      files INTEGER NOT NULL,
      PRIMARY KEY(host, prefix, user)
    ) STRICT, WITHOUT ROWID;
    -- Each row with what it counts; bounded, so that no row makes the sums overflow.
    CREATE VIEW counted_uploads AS
      SELECT host, path, ifnull(user, '') AS user,
        min(max(size, 0), 1 << 50) + 4096 * min(max(blocks, 0), 1000) AS bytes, blocks > 0 AS files
      FROM uploads WHERE latest = 1 AND outcome IN ('stored', 'replaced')
      UNION ALL
      SELECT host, path, ifnull(user, '') AS user,
        min(max(size, 0), 1 << 50) + 4096 * min(max(blocks, 0), 1000) AS bytes, blocks > 0 AS files
      FROM pending_uploads;
    -- Written to by the triggers below alone: sign is 1 for a row that counts now, -1 for one that
    -- does no more.
    CREATE VIEW upload_changes AS
      SELECT '' AS host, '' AS path, '' AS user, 0 AS size, 0 AS blocks, 0 AS sign WHERE 0;
    CREATE TRIGGER upload_changes_summed INSTEAD OF INSERT ON upload_changes BEGIN
      INSERT INTO upload_sums
        SELECT NEW.host, prefix, who,
          NEW.sign * (min(max(NEW.size, 0), 1 << 50) + 4096 * min(max(NEW.blocks, 0), 1000)),
          NEW.sign * (NEW.blocks > 0)
        FROM upload_prefixes, (SELECT ifnull(NEW.user, '') AS who UNION ALL SELECT '*')
        WHERE host = NEW.host AND (NEW.path = prefix OR
          substr(NEW.path, 1, length(prefix) + 1) = prefix || '/')
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes, files = files + excluded.files;
      DELETE FROM upload_sums
        WHERE host = NEW.host AND user = ifnull(NEW.user, '') AND bytes = 0 AND files = 0 AND
          prefix IN (SELECT prefix FROM upload_prefixes WHERE host = NEW.host);
    END;
    CREATE TRIGGER pending_uploads_come AFTER INSERT ON pending_uploads
      WHEN EXISTS(SELECT 1 FROM upload_prefixes WHERE host = NEW.host) BEGIN
      INSERT INTO upload_changes VALUES(NEW.host, NEW.path, NEW.user, NEW.size, NEW.blocks, 1);
    END;
    CREATE TRIGGER pending_uploads_change AFTER UPDATE OF user ON pending_uploads
      WHEN EXISTS(SELECT 1 FROM upload_prefixes WHERE host = NEW.host) BEGIN
      INSERT INTO upload_changes VALUES(OLD.host, OLD.path, OLD.user, OLD.size, OLD.blocks, -1);
      INSERT INTO upload_changes VALUES(NEW.host, NEW.path, NEW.user, NEW.size, NEW.blocks, 1);
    END;
    CREATE TRIGGER pending_uploads_go AFTER DELETE ON pending_uploads
      WHEN EXISTS(SELECT 1 FROM upload_prefixes WHERE host = OLD.host) BEGIN
      INSERT INTO upload_changes VALUES(OLD.host, OLD.path, OLD.user, OLD.size, OLD.blocks, -1);
    END;
    CREATE TRIGGER uploads_come AFTER INSERT ON uploads
      WHEN NEW.latest = 1 AND NEW.outcome IN ('stored', 'replaced') AND
        EXISTS(SELECT 1 FROM upload_prefixes WHERE host = NEW.host) BEGIN
      INSERT INTO upload_changes VALUES(NEW.host, NEW.path, NEW.user, NEW.size, NEW.blocks, 1);
    END;
    CREATE TRIGGER uploads_change AFTER UPDATE OF latest, user ON uploads
      WHEN OLD.latest = 1 AND OLD.outcome IN ('stored', 'replaced') AND
        EXISTS(SELECT 1 FROM upload_prefixes WHERE host = OLD.host) BEGIN
      INSERT INTO upload_changes VALUES(OLD.host, OLD.path, OLD.user, OLD.size, OLD.blocks, -1);
      INSERT INTO upload_changes
        SELECT NEW.host, NEW.path, NEW.user, NEW.size, NEW.blocks, 1 WHERE NEW.latest = 1;
    END;
    CREATE TRIGGER uploads_go AFTER DELETE ON uploads
      WHEN OLD.latest = 1 AND OLD.outcome IN ('stored', 'replaced') AND
        EXISTS(SELECT 1 FROM upload_prefixes WHERE host = OLD.host) BEGIN
      INSERT INTO upload_changes VALUES(OLD.host, OLD.path, OLD.user, OLD.size, OLD.blocks, -1);
    END;
    )";

// What version 6 adds: names, and earlier content of files.
constexpr const char* kVersionTables = R"(
    -- What the certificate calls itself.
    ALTER TABLE users ADD COLUMN claimed TEXT NOT NULL DEFAULT '';
    -- The operator's name for the certificate or the token, as it was then.
    ALTER TABLE uploads ADD COLUMN writer TEXT NOT NULL DEFAULT '';
    ALTER TABLE pending_uploads ADD COLUMN writer TEXT NOT NULL DEFAULT '';
    CREATE TABLE contents(
      id INTEGER PRIMARY KEY,
      sha256 TEXT NOT NULL,    -- '' while it is not whole, and once no version has it
      size INTEGER NOT NULL,
      parts INTEGER NOT NULL,
      refs INTEGER NOT NULL,   -- versions that have it
      begun INTEGER NOT NULL   -- when, while it is not whole; 0 afterwards
    ) STRICT;
    CREATE UNIQUE INDEX contents_sum ON contents(sha256) WHERE sha256 <> '';
    CREATE INDEX contents_unused ON contents(begun) WHERE refs = 0;
    CREATE TABLE content_parts(
      id INTEGER PRIMARY KEY,  -- 2^20 times the content's, and the part's number from 0
      bytes BLOB NOT NULL
    ) STRICT;
    CREATE TABLE versions(
      replaced_by INTEGER PRIMARY KEY,  -- the upload; of one that is announced, its id with a minus
      upload INTEGER NOT NULL,          -- whose content it is
      host TEXT NOT NULL,
      mount TEXT NOT NULL,
      path TEXT NOT NULL,
      content INTEGER NOT NULL,
      size INTEGER NOT NULL,
      ended INTEGER NOT NULL,
      expires INTEGER                   -- NULL: it does not go by time
    ) STRICT;
    CREATE INDEX versions_place ON versions(host, path, upload);
    CREATE INDEX versions_mount ON versions(host, mount, ended);
    CREATE INDEX versions_expire ON versions(expires) WHERE expires IS NOT NULL;
    -- What keep_size bounds, as it comes and goes.
    CREATE TABLE version_sums(
      host TEXT NOT NULL,
      mount TEXT NOT NULL,
      bytes INTEGER NOT NULL,
      PRIMARY KEY(host, mount)
    ) STRICT, WITHOUT ROWID;
    )";

Result<void> syncFolder(const std::filesystem::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return errnoError("sync " + folder.string(), errno);
  return {};
}

/// Makes the file where it is missing. To be called before SQLite has the file open: a close() of
/// any descriptor of it drops this process's POSIX locks, SQLite's among them.
Result<void> makeFile(const std::filesystem::path& file) {
  const UniqueFd fd(
      ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_CREAT, 0600));
  if (!fd) return errnoError("open " + file.string(), errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return errnoError("stat " + file.string(), errno);
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1) {
    return Error{ErrorCode::kPermission,
                 file.string() + ": not a regular file with one name; move it away"};
  }
  // SQLite syncs the names of files that it makes itself.
  return info.st_size == 0 ? syncFolder(file.parent_path()) : Result<void>();
}

Result<void> useWriteAheadLog(SqliteConnection& connection, const std::filesystem::path& file) {
  SqliteQuery mode(connection, "PRAGMA journal_mode = WAL");
  const bool answered = mode.next();
  if (mode.failed()) return mode.error();
  if (answered && mode.text(0) == "wal") return {};
  return Error{ErrorCode::kIo, file.string() +
                                   ": its file system offers no shared memory (a network share?); "
                                   "set server.state_dir to a local folder"};
}

/// One transaction; closing the connection takes back what was not committed.
Result<void> makeTables(SqliteConnection& connection, int version) {
  if (auto begun = connection.runScript("BEGIN IMMEDIATE"); !begun) return begun;
  if (version < 5) {
    if (auto done = connection.runScript(kTables); !done) return done;
  }
  if (auto done = connection.runScript(kVersionTables); !done) return done;
  const std::string stamp = fmt::format("PRAGMA user_version = {}; COMMIT", kSchemaVersion);
  return connection.runScript(stamp.c_str());
}

/// Reads a row of each table, so that damage shows when the file is opened, not at the first
/// upload.
Result<void> readEachTable(SqliteConnection& connection) {
  for (const char* select :
       {"SELECT 1 FROM users NOT INDEXED LIMIT 1", "SELECT 1 FROM metadata LIMIT 1",
        "SELECT 1 FROM uploads NOT INDEXED LIMIT 1", "SELECT 1 FROM pending_uploads LIMIT 1",
        "SELECT 1 FROM upload_sums NOT INDEXED LIMIT 1",
        "SELECT 1 FROM contents NOT INDEXED LIMIT 1", "SELECT 1 FROM content_parts LIMIT 1",
        "SELECT 1 FROM versions NOT INDEXED LIMIT 1", "SELECT 1 FROM version_sums LIMIT 1"}) {
    SqliteQuery query(connection, select);
    query.next();
    if (query.failed()) return query.error();
  }
  return {};
}

}  // namespace

Result<int> checkSchemaVersion(SqliteConnection& connection, const std::filesystem::path& file) {
  SqliteQuery query(connection, "PRAGMA user_version");
  const bool answered = query.next();
  if (query.failed()) return query.error();
  const std::int64_t version = answered ? query.integer(0) : 0;
  if (version == kSchemaVersion) {
    if (auto there = readEachTable(connection); !there) return there.error();
  }
  if (version == 0 || (version >= kOldestSchemaVersion && version <= kSchemaVersion)) {
    return static_cast<int>(version);
  }
  if (version > 0 && version < kOldestSchemaVersion) {
    return Error{ErrorCode::kIo,
                 fmt::format("{}: made by an egalaxyd before 0.1.0 (its tables are of version {}, "
                             "this program knows {} to {}); move it away, and a new one is made, "
                             "or set another server.state_dir",
                             file.string(), version, kOldestSchemaVersion, kSchemaVersion)};
  }
  return Error{ErrorCode::kIo,
               fmt::format("{}: made by a newer egalaxyd (its tables are of version {}, this "
                           "program knows up to {}); upgrade, or set another server.state_dir",
                           file.string(), version, kSchemaVersion)};
}

Result<void> migrateStorage(const std::filesystem::path& file) {
  if (auto made = makeFile(file); !made) return made;
  Result<SqliteConnection> connection = SqliteConnection::open(file, {});
  if (!connection) return connection.error();
  const Result<int> version = checkSchemaVersion(*connection, file);
  if (!version) return version.error();
  if (auto changed = useWriteAheadLog(*connection, file); !changed) return changed;
  if (*version != kSchemaVersion) {
    if (auto made = makeTables(*connection, *version); !made) return made;
  }
  return connection->runScript("PRAGMA wal_checkpoint(PASSIVE)");
}

}  // namespace egalaxyd
