#include "common/postgres/storage_copy.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/errno_error.h"
#include "common/base/sha256.h"
#include "common/postgres/copy_batch.h"
#include "common/storage/schema.h"
#include "common/storage/sqlite_handle.h"

namespace egalaxyd::postgres {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kSqlitePatience{10};
/// The parts of a content in SQLite are numbered from 2^20 times its id.
constexpr std::int64_t kPartsOfContent = 1 << 20;

/// What the file has, as it is there. They go with the transaction.
constexpr const char* kStages = R"(
  CREATE TEMP TABLE s_users(id text PRIMARY KEY, first_seen bigint, last_seen bigint, visits bigint,
    claimed text, target text) ON COMMIT DROP;
  CREATE TEMP TABLE s_keys(key text PRIMARY KEY, user_id text) ON COMMIT DROP;
  CREATE INDEX ON s_keys(user_id);
  CREATE TEMP TABLE s_metadata(user_id text, key text, value bytea, updated bigint) ON COMMIT DROP;
  CREATE TEMP TABLE s_uploads(id bigint PRIMARY KEY, time bigint, protocol text, host text,
    path text, user_id text, client text, mime text, size bigint, sha256 text,
    previous_sha256 text, outcome text, latest bigint, why text, blocks bigint, writer text,
    there bigint, target bigint) ON COMMIT DROP;
  CREATE TEMP TABLE s_versions(replaced_by bigint PRIMARY KEY, upload bigint, host text, mount text,
    path text, sha256 text, size bigint, ended bigint, expires bigint) ON COMMIT DROP;
  -- Contents that had to be brought.
  CREATE TEMP TABLE s_new(sha256 text PRIMARY KEY, content bigint) ON COMMIT DROP;
)";

/// A table of the file, and where its rows go.
struct Stage {
  const char* select;
  const char* insert;
  const char* kinds;  ///< by column: t text, n number, b bytes
};

constexpr Stage kCopied[] = {
    {"SELECT id, first_seen, last_seen, visits, claimed FROM users",
     "INSERT INTO s_users SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], "
     "$4::bigint[], $5::text[])",
     "tnnnt"},
    {"SELECT key, user FROM user_keys",
     "INSERT INTO s_keys SELECT * FROM unnest($1::text[], $2::text[])", "tt"},
    {"SELECT user, key, value, updated FROM metadata",
     "INSERT INTO s_metadata SELECT u, k, decode(v, 'hex'), t FROM unnest($1::text[], $2::text[], "
     "$3::text[], $4::bigint[]) AS m(u, k, v, t)",
     "ttbn"},
    {"SELECT id, time, protocol, host, path, ifnull(user, ''), client, mime, size, sha256, "
     "previous_sha256, outcome, latest, why, blocks, writer FROM uploads",
     "INSERT INTO s_uploads SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], "
     "$4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[], "
     "$11::text[], $12::text[], $13::bigint[], $14::text[], $15::bigint[], $16::text[])",
     "nntttttt"
     "ntttntnt"},
    {"SELECT replaced_by, upload, host, mount, path, sha256, versions.size, ended, "
     "ifnull(expires, -1) FROM versions JOIN contents ON contents.id = content "
     "WHERE replaced_by > 0 AND sha256 <> ''",
     "INSERT INTO s_versions SELECT a, b, c, d, e, f, g, h, nullif(i, -1) FROM unnest("
     "$1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], "
     "$8::bigint[], $9::bigint[]) AS v(a, b, c, d, e, f, g, h, i)",
     "nntttt"
     "nnn"},
};

std::string hexOf(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char each : bytes) {
    const auto byte = static_cast<unsigned char>(each);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

Result<Rows> over(Connection& db, std::string_view sql, const std::vector<Value>& values = {}) {
  return db.ask(sql, values, kCopyPatience);
}
/// Rows that it changed.
Result<std::uint64_t> changed(Connection& db, std::string_view sql,
                              const std::vector<Value>& values = {}) {
  const auto done = over(db, sql, values);
  if (!done) return done.error();
  return done->changed();
}
Result<std::int64_t> number(Connection& db, std::string_view sql,
                            const std::vector<Value>& values = {}) {
  const auto rows = over(db, sql, values);
  if (!rows) return rows.error();
  return rows->empty() ? 0 : rows->integer(0, 0);
}
/// One after the other, until one fails.
Result<void> all(Connection& db, std::initializer_list<const char*> statements) {
  for (const char* sql : statements) {
    if (auto done = over(db, sql); !done) return done.error();
  }
  return {};
}

Result<SqliteConnection> openFile(const fs::path& file) {
  auto opened = SqliteConnection::open(file, kSqlitePatience);
  if (!opened) return opened;
  const auto version = checkSchemaVersion(*opened, file);
  if (!version) return version.error();
  if (*version == kSchemaVersion) return opened;
  return Error{ErrorCode::kInvalid,
               file.string() +
                   ": its tables are of an older egalaxyd; let this one start with it "
                   "once, and stop it again"};
}

/// Brings content into the database, each once.
class ContentCopy {
 public:
  explicit ContentCopy(Connection& db) : db_(db) {}

  Result<bool> isThere(const std::string& sha256) {
    const auto found = number(db_,
                              "SELECT 1 FROM contents WHERE sha256 = $1 AND sha256 <> '' UNION "
                              "SELECT 1 FROM s_new WHERE sha256 = $1",
                              {Value(sha256)});
    if (!found) return found.error();
    return *found != 0;
  }
  Result<void> begin() {
    const auto id =
        number(db_,
               "INSERT INTO contents(sha256, size, parts, refs, begun) VALUES('', 0, "
               "0, 0, $1) RETURNING id",
               {Value(std::max<std::int64_t>(wallNow().time_since_epoch().count(), 1))});
    if (!id) return id.error();
    content_ = *id;
    parts_ = 0;
    size_ = 0;
    sum_ = Sha256();
    return {};
  }
  Result<void> add(std::string_view bytes) {
    sum_.add(bytes);
    size_ += static_cast<std::int64_t>(bytes.size());
    const auto added = over(db_, "INSERT INTO content_parts VALUES($1, $2, $3)",
                            {Value(content_), Value(parts_++), Value::ofBytes(bytes)});
    return added ? Result<void>() : added.error();
  }
  /// False: it is not what `sha256` says, and has gone again.
  Result<bool> end(const std::string& sha256) {
    const bool whole = sum_.hex() == sha256;
    const auto done =
        whole ? over(db_,
                     "WITH sized AS (UPDATE contents SET size = $2, parts = $3 WHERE id = $1) "
                     "INSERT INTO s_new VALUES($4, $1)",
                     {Value(content_), Value(size_), Value(parts_), Value(sha256)})
              : over(db_,
                     "WITH gone AS (DELETE FROM content_parts WHERE content = $1) "
                     "DELETE FROM contents WHERE id = $1",
                     {Value(content_)});
    if (!done) return done.error();
    ++(whole ? copied_ : damaged_);
    return whole;
  }
  std::uint64_t copied() const { return copied_; }

 private:
  Connection& db_;
  std::int64_t content_ = 0;
  std::int64_t parts_ = 0;
  std::int64_t size_ = 0;
  Sha256 sum_;
  std::uint64_t copied_ = 0;
  std::uint64_t damaged_ = 0;
};

/// The whole of copyFromSqlite(), in one transaction of each database.
class Import {
 public:
  Import(Connection& db, SqliteConnection& sqlite, std::string_view source, bool merge,
         UploadFolders& folders)
      : db_(db),
        sqlite_(sqlite),
        source_(source),
        merge_(merge),
        folders_(folders),
        contents_(db) {}

  Result<CopiedRows> run();

 private:
  Result<void> stage();
  Result<void> checkPending();
  Result<void> clear();
  Result<void> findUsers();
  Result<void> findUploads();
  Result<void> bringVersions();
  Result<void> bringVersion(std::int64_t content, const std::string& sha256);
  Result<void> bringFiles();
  Result<bool> bringFile(const UploadRecord& record);
  Result<void> addUsers();
  Result<void> addUploads();
  Result<void> settleContents();
  Result<void> remember();

  Connection& db_;
  SqliteConnection& sqlite_;
  std::string source_;
  bool merge_;
  UploadFolders& folders_;
  ContentCopy contents_;
  CopiedRows copied_;
};

Result<void> Import::checkPending() {
  SqliteQuery query(sqlite_, "SELECT count(*) FROM pending_uploads");
  const std::int64_t pending = query.next() ? query.integer(0) : 0;
  if (query.failed()) return query.error();
  if (pending == 0) return {};
  return Error{ErrorCode::kInvalid,
               fmt::format("{} uploads were interrupted, and it is not known how they ended: start "
                           "the server with engine = \"sqlite\" once, and stop it",
                           pending)};
}

Result<void> Import::stage() {
  if (auto made = db_.runScript(kStages); !made) return made;
  for (const Stage& stage : kCopied) {
    const std::string_view kinds = stage.kinds;
    std::string columns(kinds);
    std::ranges::replace(columns, 'b', 't');
    CopyBatch batch(db_, stage.insert, columns);
    SqliteQuery query(sqlite_, stage.select);
    while (query.next()) {
      for (int i = 0; i < static_cast<int>(kinds.size()); ++i) {
        const char kind = kinds[static_cast<std::size_t>(i)];
        if (kind == 'n') batch.add(query.integer(i));
        if (kind == 't') batch.add(query.text(i));
        if (kind == 'b') batch.add(std::string_view(hexOf(query.text(i))));
      }
      if (auto sent = batch.endRow(); !sent) return sent;
    }
    if (query.failed()) return query.error();
    if (auto sent = batch.flush(); !sent) return sent;
  }
  return all(db_, {"ANALYZE s_users", "ANALYZE s_keys", "ANALYZE s_uploads", "ANALYZE s_versions"});
}

/// What an earlier copy of this file brought, and nobody has used since, makes room for this one.
Result<void> Import::clear() {
  const auto held = number(db_,
                           "SELECT count(*) FROM (SELECT 1 FROM users UNION ALL SELECT 1 FROM "
                           "uploads UNION ALL SELECT 1 FROM versions) AS t");
  if (!held) return held.error();
  if (*held == 0 || merge_) return {};
  const auto foreign = number(db_,
                              "SELECT (SELECT count(*) FROM lanes) + (SELECT count(*) FROM copies "
                              "WHERE source <> $1)",
                              {Value(source_)});
  if (!foreign) return foreign.error();
  if (*foreign != 0) {
    return Error{ErrorCode::kExists,
                 "the database holds users or uploads of others already: --merge adds to them"};
  }
  return all(db_, {"DELETE FROM versions", "DELETE FROM uploads", "DELETE FROM users",
                   "DELETE FROM contents", "DELETE FROM content_parts", "DELETE FROM copies"});
}

/// Who is there already, by certificate or by key.
Result<void> Import::findUsers() {
  return all(db_, {"UPDATE s_users AS s SET target = coalesce((SELECT id FROM users WHERE id = "
                   "s.id), (SELECT min(k.user_id) FROM s_keys AS o JOIN user_keys AS k USING(key) "
                   "WHERE o.user_id = s.id), s.id)",
                   "ANALYZE s_users"});
}

/// Which records are there already, and which numbers the others get.
Result<void> Import::findUploads() {
  if (!merge_) return all(db_, {"UPDATE s_uploads SET target = id"});
  return all(
      db_,
      {"WITH s AS (SELECT id, time, host, path, sha256, size, outcome, row_number() OVER "
       "(PARTITION "
       "BY time, host, path, sha256, size, outcome ORDER BY id) AS n FROM s_uploads), u AS (SELECT "
       "id, time, host, path, sha256, size, outcome, row_number() OVER (PARTITION BY time, host, "
       "path, sha256, size, outcome ORDER BY id) AS n FROM uploads WHERE time >= (SELECT min(time) "
       "FROM s_uploads)) UPDATE s_uploads SET there = u.id, target = u.id FROM s JOIN u "
       "USING(time, host, path, sha256, size, outcome, n) WHERE s.id = s_uploads.id",
       "UPDATE s_uploads SET target = new.id FROM (SELECT old.id AS was, nextval("
       "pg_get_serial_sequence('egalaxyd.uploads', 'id')) AS id FROM (SELECT id FROM s_uploads "
       "WHERE there IS NULL ORDER BY time, id) AS old) AS new WHERE new.was = s_uploads.id",
       // Who was there later, or at the same second, stays the latest of the place.
       "UPDATE s_uploads AS s SET latest = 0 FROM uploads AS u WHERE s.latest = 1 AND s.there IS "
       "NULL AND u.latest AND u.host = s.host AND u.path = s.path AND u.time >= s.time",
       "ANALYZE s_uploads"});
}

Result<void> Import::bringVersion(std::int64_t content, const std::string& sha256) {
  const auto there = contents_.isThere(sha256);
  if (!there) return there.error();
  if (*there) return {};
  if (auto begun = contents_.begin(); !begun) return begun;
  SqliteQuery parts(sqlite_, "SELECT bytes FROM content_parts WHERE id >= ? AND id < ? ORDER BY id",
                    content * kPartsOfContent, (content + 1) * kPartsOfContent);
  while (parts.next()) {
    if (auto added = contents_.add(parts.text(0)); !added) return added;
  }
  if (parts.failed()) return parts.error();
  // One that is damaged cannot be restored here either: its versions stay behind.
  const auto ended = contents_.end(sha256);
  return ended ? Result<void>() : ended.error();
}

Result<void> Import::bringVersions() {
  std::vector<std::pair<std::int64_t, std::string>> wanted;
  SqliteQuery query(sqlite_,
                    "SELECT DISTINCT contents.id, sha256 FROM contents JOIN versions ON content = "
                    "contents.id WHERE replaced_by > 0 AND sha256 <> ''");
  while (query.next()) wanted.emplace_back(query.integer(0), textFor(query.text(1)));
  if (query.failed()) return query.error();
  for (const auto& [content, sha256] : wanted) {
    if (auto brought = bringVersion(content, sha256); !brought) return brought;
  }
  return {};
}

/// Whether the file is what its record says, and its content there.
Result<bool> Import::bringFile(const UploadRecord& record) {
  const auto leaveOut = [&](const std::string& why) {
    folders_.leftOut(record, why);
    return false;
  };
  const auto file = folders_.open(record);
  if (!file) return leaveOut(file.error().message);
  const auto sum = sha256OfFile(file->get());
  if (!sum) return leaveOut(sum.error().message);
  if (*sum != record.sha256) return leaveOut("another file than its record tells of");
  const auto there = contents_.isThere(record.sha256);
  if (!there || *there) return there;
  if (auto begun = contents_.begin(); !begun) return begun.error();
  std::string part(kContentPart, '\0');
  for (off_t at = 0;;) {
    // Parts are whole, but for the last one.
    std::size_t filled = 0;
    while (filled < part.size()) {
      const ssize_t got = ::pread(file->get(), part.data() + filled, part.size() - filled, at);
      if (got < 0) return errnoError("read " + record.path, errno);
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
      at += got;
    }
    if (filled == 0) break;
    if (auto added = contents_.add({part.data(), filled}); !added) return added.error();
    if (filled < part.size()) break;
  }
  const auto whole = contents_.end(record.sha256);
  return whole && !*whole ? leaveOut("it changes while it is read") : whole;
}

Result<void> Import::bringFiles() {
  const auto rows = over(
      db_,
      "SELECT id, host, path, sha256, size, mime FROM s_uploads WHERE latest = 1 AND there IS NULL "
      "AND sha256 <> '' ORDER BY host, path");
  if (!rows) return rows.error();
  std::vector<std::int64_t> out;
  for (int i = 0; i < rows->size(); ++i) {
    UploadRecord record;
    record.id = rows->integer(i, 0);
    record.host = rows->text(i, 1);
    record.path = rows->text(i, 2);
    record.sha256 = rows->text(i, 3);
    record.size = static_cast<std::uint64_t>(std::max<std::int64_t>(rows->integer(i, 4), 0));
    record.mime = rows->text(i, 5);
    const auto brought = bringFile(record);
    if (!brought) return brought.error();
    if (!*brought) out.push_back(record.id);
  }
  const std::string array = arrayOf(out);
  const auto past =
      over(db_, "UPDATE s_uploads SET latest = 0 WHERE id = ANY($1)", {Value::ofNumbers(array)});
  return past ? Result<void>() : past.error();
}

/// Visits that an earlier copy has brought are not added once more.
Result<void> Import::addUsers() {
  const auto before = number(db_, "SELECT count(*) FROM users");
  if (!before) return before.error();
  const auto users = over(
      db_,
      "INSERT INTO users AS u SELECT target, min(first_seen), max(last_seen), "
      "least(sum(greatest(s.visits - coalesce(c.visits, 0), 0)), 1::bigint << 53)::bigint, "
      "(array_agg(claimed ORDER BY last_seen DESC))[1] FROM s_users AS s LEFT JOIN copied_visits "
      "AS c USING(id, first_seen) GROUP BY target ON CONFLICT (id) DO UPDATE SET first_seen "
      "= least(u.first_seen, excluded.first_seen), last_seen = greatest(u.last_seen, "
      "excluded.last_seen), visits = u.visits + excluded.visits, "
      "claimed = CASE WHEN excluded.last_seen > u.last_seen THEN excluded.claimed ELSE u.claimed "
      "END");
  if (!users) return users.error();
  const auto after = number(db_, "SELECT count(*) FROM users");
  if (!after) return after.error();
  copied_.users = static_cast<std::uint64_t>(*after - *before);
  const auto keys = changed(
      db_,
      "INSERT INTO user_keys SELECT k.key, s.target FROM s_keys AS k JOIN s_users AS s ON s.id = "
      "k.user_id ON CONFLICT DO NOTHING");
  if (!keys) return keys.error();
  const auto metadata = changed(
      db_,
      "INSERT INTO metadata AS m SELECT DISTINCT ON (s.target, d.key) s.target, d.key, d.value, "
      "d.updated FROM s_metadata AS d JOIN s_users AS s ON s.id = d.user_id ORDER BY s.target, "
      "d.key, d.updated DESC ON CONFLICT (user_id, key) DO UPDATE SET value = excluded.value, "
      "updated = excluded.updated WHERE excluded.updated > m.updated");
  if (!metadata) return metadata.error();
  copied_.metadata = *metadata;
  return {};
}

Result<void> Import::addUploads() {
  // Again, since other hosts may have gone on until the tables were locked.
  auto done = all(
      db_,
      {"UPDATE s_uploads AS s SET latest = 0 FROM uploads AS u WHERE s.latest = 1 AND s.there IS "
       "NULL AND u.latest AND u.host = s.host AND u.path = s.path AND u.time >= s.time",
       "UPDATE uploads AS u SET latest = false, content = NULL FROM s_uploads AS s WHERE s.latest "
       "= 1 AND s.there IS NULL AND u.latest AND u.host = s.host AND u.path = s.path"});
  if (!done) return done;
  const auto uploads = changed(
      db_,
      "INSERT INTO uploads(id, time, protocol, host, path, user_id, client, mime, size, sha256, "
      "previous_sha256, outcome, latest, why, blocks, writer, content) SELECT s.target, s.time, "
      "s.protocol, s.host, s.path, u.target, s.client, s.mime, s.size, s.sha256, "
      "s.previous_sha256, s.outcome, s.latest = 1, s.why, s.blocks, s.writer, CASE WHEN s.latest = "
      "1 THEN c.id END FROM s_uploads AS s LEFT JOIN s_users AS u ON u.id = s.user_id LEFT JOIN "
      "contents AS c ON c.sha256 = s.sha256 AND c.sha256 <> '' WHERE s.there IS NULL ORDER BY "
      "s.target");
  if (!uploads) return uploads.error();
  copied_.uploads = *uploads;
  const auto versions = changed(
      db_,
      "INSERT INTO versions SELECT r.target, w.target, v.host, v.mount, v.path, c.id, v.size, "
      "v.ended, v.expires FROM s_versions AS v JOIN s_uploads AS r ON r.id = v.replaced_by JOIN "
      "s_uploads AS w ON w.id = v.upload JOIN contents AS c ON c.sha256 = v.sha256 WHERE r.there "
      "IS NULL ON CONFLICT DO NOTHING");
  if (!versions) return versions.error();
  copied_.versions = *versions;
  const auto lost =
      number(db_, "SELECT count(*) FROM uploads WHERE latest AND sha256 <> '' AND content IS NULL");
  if (!lost) return lost.error();
  if (*lost != 0) {
    return Error{ErrorCode::kBusy, "other hosts have changed the same content: run this again"};
  }
  return {};
}

/// Of new ones that somebody else has brought meanwhile, theirs is taken.
Result<void> Import::settleContents() {
  return all(
      db_,
      {"UPDATE contents AS c SET sha256 = n.sha256, begun = 0 FROM s_new AS n WHERE n.content = "
       "c.id AND NOT EXISTS(SELECT 1 FROM contents AS o WHERE o.sha256 = n.sha256)"});
}

/// What is derived, and that this was copied.
Result<void> Import::remember() {
  auto done = all(
      db_,
      {// Who has each content.
       "WITH held AS (SELECT content, count(*) AS n FROM (SELECT content FROM versions UNION ALL "
       "SELECT content FROM uploads WHERE content IS NOT NULL UNION ALL SELECT content FROM "
       "pending_uploads WHERE content IS NOT NULL) AS t GROUP BY content), wanted AS (SELECT c.id, "
       "coalesce(h.n, 0) AS n FROM contents AS c LEFT JOIN held AS h ON h.content = c.id WHERE "
       "c.sha256 <> '') UPDATE contents AS c SET refs = w.n, sha256 = CASE WHEN w.n = 0 THEN '' "
       "ELSE c.sha256 END FROM wanted AS w WHERE w.id = c.id AND c.refs <> w.n",
       "DELETE FROM version_sums",
       "INSERT INTO version_sums SELECT host, mount, '', sum(greatest(least(size, 1::bigint << "
       "50), 0) "
       "+ 4096)::bigint FROM versions GROUP BY host, mount",
       "UPDATE uploads SET refusal = nextval('refusals') WHERE outcome = 'refused' AND refusal IS "
       "NULL",
       // They are summed up anew when they are asked for.
       "DELETE FROM upload_sums", "DELETE FROM upload_prefixes",
       "SELECT setval(pg_get_serial_sequence('egalaxyd.uploads', 'id'), greatest((SELECT max(id) "
       "FROM uploads), nextval(pg_get_serial_sequence('egalaxyd.uploads', 'id'))))"});
  if (!done) return done;
  const auto visits = over(db_,
                           "INSERT INTO copied_visits AS c SELECT id, first_seen, target, "
                           "greatest(visits, 0) FROM s_users "
                           "ON CONFLICT (id, first_seen) DO UPDATE SET visits = greatest(c.visits, "
                           "excluded.visits), user_id = excluded.user_id");
  if (!visits) return visits.error();
  const auto noted =
      over(db_, "INSERT INTO copies VALUES($1) ON CONFLICT DO NOTHING", {Value(source_)});
  return noted ? Result<void>() : noted.error();
}

Result<CopiedRows> Import::run() {
  using Step = Result<void> (Import::*)();
  constexpr Step kUnlocked[] = {&Import::checkPending, &Import::stage,       &Import::clear,
                                &Import::findUsers,    &Import::findUploads, &Import::bringVersions,
                                &Import::bringFiles};
  for (const Step step : kUnlocked) {
    if (auto done = (this->*step)(); !done) return done.error();
  }
  // Other hosts go on until here, and may read further.
  auto locked = all(db_, {"LOCK TABLE users, user_keys, metadata, uploads, pending_uploads, "
                          "versions, version_sums, upload_prefixes, upload_sums, contents IN "
                          "EXCLUSIVE MODE"});
  if (!locked) return locked.error();
  constexpr Step kLocked[] = {&Import::settleContents, &Import::addUsers, &Import::addUploads,
                              &Import::remember};
  for (const Step step : kLocked) {
    if (auto done = (this->*step)(); !done) return done.error();
  }
  copied_.contents = contents_.copied();
  return copied_;
}

Result<void> commitCopy(Connection& db) {
  db.clearWarning();
  const auto committed = over(db, "COMMIT");
  if (!committed) {
    return Error{
        committed.error().code == ErrorCode::kBusy ? ErrorCode::kUnknown : committed.error().code,
        "it may have been copied, or not: run this again, which copies nothing twice (" +
            committed.error().message + ")"};
  }
  if (db.warned()) {
    return Error{ErrorCode::kUnknown,
                 "copied, but the standby has not got it: run this again when it has come back, "
                 "which copies nothing twice"};
  }
  // Without figures of the tables the first queries would be slow; who may not make them waits for
  // the database's own.
  static_cast<void>(over(db, "ANALYZE users, metadata, uploads, versions, contents"));
  return {};
}

// --- the way back ---------------------------------------------------------------------------

/// Rows of `query`, some at a time.
class Cursor {
 public:
  Cursor(Connection& db, std::string_view query) : db_(db), query_(query) {}

  /// False at the end and at a failure.
  bool next() {
    if (!opened_ && !open()) return false;
    if (++row_ < rows_.size()) return true;
    auto more = over(db_, "FETCH 500 FROM copied");
    if (!more) return fail(more.error());
    rows_ = std::move(*more);
    row_ = 0;
    if (!rows_.empty()) return true;
    if (auto closed = over(db_, "CLOSE copied"); !closed) return fail(closed.error());
    return false;
  }
  const std::optional<Error>& error() const { return error_; }
  std::string_view text(int column) const { return rows_.text(row_, column); }
  std::int64_t integer(int column) const { return rows_.integer(row_, column); }
  bool isNull(int column) const { return rows_.isNull(row_, column); }

 private:
  bool open() {
    opened_ = true;
    const auto begun = over(db_, "DECLARE copied NO SCROLL CURSOR FOR " + query_);
    return begun ? true : fail(begun.error());
  }
  bool fail(const Error& error) {
    error_ = error;
    return false;
  }

  Connection& db_;
  std::string query_;
  bool opened_ = false;
  Rows rows_;
  int row_ = -1;
  std::optional<Error> error_;
};

/// A table, as both databases have it: the columns of the cursor are bound in order.
struct BackStage {
  const char* select;
  const char* insert;
  const char* kinds;  ///< t text, n number, b bytes; NULL stays NULL
  std::uint64_t CopiedRows::*count;
};

constexpr BackStage kBack[] = {
    {"SELECT id, first_seen, last_seen, visits, claimed FROM users",
     "INSERT INTO users(id, first_seen, last_seen, visits, claimed) VALUES(?, ?, ?, ?, ?)", "tnnnt",
     &CopiedRows::users},
    {"SELECT key, user_id FROM user_keys", "INSERT INTO user_keys VALUES(?, ?)", "tt", nullptr},
    {"SELECT user_id, key, value, updated FROM metadata", "INSERT INTO metadata VALUES(?, ?, ?, ?)",
     "ttbn", &CopiedRows::metadata},
    {"SELECT id, time, protocol, host, path, user_id, client, mime, size, sha256, "
     "previous_sha256, outcome, latest::int::bigint, why, blocks, writer FROM uploads ORDER BY id",
     "INSERT INTO uploads(id, time, protocol, host, path, user, client, mime, size, sha256, "
     "previous_sha256, outcome, latest, why, blocks, writer) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
     "?, ?, ?, ?, ?, ?)",
     "nntttttt"
     "ntttntnt",
     &CopiedRows::uploads},
    {"SELECT id, sha256, size, parts, (SELECT count(*) FROM versions WHERE content = c.id AND "
     "replaced_by > 0) FROM contents AS c WHERE sha256 <> '' AND EXISTS(SELECT 1 FROM versions "
     "WHERE content = c.id AND replaced_by > 0)",
     "INSERT INTO contents(id, sha256, size, parts, refs, begun) VALUES(?, ?, ?, ?, ?, 0)", "ntnnn",
     &CopiedRows::contents},
    {"SELECT content * 1048576 + part, bytes FROM content_parts AS p WHERE EXISTS(SELECT 1 FROM "
     "versions WHERE content = p.content AND replaced_by > 0)",
     "INSERT INTO content_parts VALUES(?, ?)", "nb", nullptr},
    {"SELECT replaced_by, upload, host, mount, path, content, size, ended, expires FROM versions "
     "WHERE replaced_by > 0",
     "INSERT INTO versions VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", "nntttnnnn", &CopiedRows::versions},
    {"SELECT host, mount, sum(greatest(least(size, 1::bigint << 50), 0) + 4096)::bigint FROM "
     "versions WHERE replaced_by > 0 GROUP BY host, mount",
     "INSERT INTO version_sums VALUES(?, ?, ?)", "ttn", nullptr},
};

Result<void> takeBack(Connection& db, SqliteConnection& sqlite, const BackStage& stage,
                      CopiedRows& copied) {
  Cursor cursor(db, stage.select);
  while (cursor.next()) {
    SqliteQuery insert(sqlite, stage.insert);
    for (int i = 0; stage.kinds[i] != '\0'; ++i) {
      if (cursor.isNull(i)) continue;
      if (stage.kinds[i] == 'n') insert.bind(i + 1, cursor.integer(i));
      if (stage.kinds[i] == 't') insert.bind(i + 1, cursor.text(i));
      if (stage.kinds[i] == 'b') insert.bindBlob(i + 1, cursor.text(i));
    }
    insert.next();
    if (insert.failed()) return insert.error();
    if (stage.count != nullptr) ++(copied.*stage.count);
  }
  return cursor.error() ? Result<void>(*cursor.error()) : Result<void>();
}

}  // namespace

Result<CopiedRows> copyFromSqlite(Connection& db, const fs::path& file, std::string_view source,
                                  bool merge, UploadFolders& folders) {
  auto sqlite = openFile(file);
  if (!sqlite) return sqlite.error();
  if (auto begun = sqlite->run("BEGIN"); !begun) return begun.error();
  auto begun = all(db, {"BEGIN", "SET LOCAL idle_in_transaction_session_timeout = 0"});
  if (!begun) return begun.error();
  Import import(db, *sqlite, source, merge, folders);
  auto copied = import.run();
  if (!copied) {
    static_cast<void>(over(db, "ROLLBACK"));
    return copied;
  }
  const auto committed = commitCopy(db);
  return committed ? copied : committed.error();
}

Result<CopiedRows> copyToSqlite(Connection& db, const fs::path& file) {
  auto sqlite = openFile(file);
  if (!sqlite) return sqlite.error();
  auto begun = sqlite->run("BEGIN IMMEDIATE");
  if (begun) begun = all(db, {"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"});
  if (!begun) return begun.error();
  CopiedRows copied;
  for (const BackStage& stage : kBack) {
    if (auto done = takeBack(db, *sqlite, stage, copied); !done) return done.error();
  }
  static_cast<void>(over(db, "ROLLBACK"));
  auto ended = sqlite->run("COMMIT");
  if (ended) ended = sqlite->runScript("PRAGMA wal_checkpoint(TRUNCATE)");
  return ended ? Result<CopiedRows>(copied) : ended.error();
}

}  // namespace egalaxyd::postgres
