#include "common/storage/sqlite_tables.h"

namespace egalaxyd::sqlite {
namespace {

constexpr std::uint64_t kMostParts = 1 << 20;
/// Versions that are looked at for room; those of more are left for the next upload.
constexpr std::int64_t kMostLooked = 1000;

/// The row of a content's part. Unsigned: a file that somebody else wrote may hold any id.
std::int64_t partId(std::int64_t content, std::uint64_t part) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(content) * kMostParts + part);
}

/// What a version counts against KeepRules::bytes.
std::int64_t counted(std::int64_t size) {
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 50;
  return std::clamp<std::int64_t>(size, 0, kMostBytes) + static_cast<std::int64_t>(kBlockBytes);
}

Result<void> addToSum(SqliteConnection& db, std::string_view host, std::string_view mount,
                      std::int64_t bytes) {
  return db.run(
      "INSERT INTO version_sums VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET bytes = bytes + "
      "excluded.bytes",
      host, mount, bytes);
}

Result<std::int64_t> sumOf(SqliteConnection& db, std::string_view host, std::string_view mount) {
  SqliteQuery query(db, "SELECT bytes FROM version_sums WHERE host = ? AND mount = ?", host, mount);
  const std::int64_t bytes = query.next() ? query.integer(0) : 0;
  if (query.failed()) return query.error();
  return bytes;
}

/// Content that nobody has any more cannot be found by its sum: it is being swept.
Result<void> giveBack(SqliteConnection& db, std::int64_t content) {
  return db.run(
      "UPDATE contents SET refs = refs - 1, sha256 = iif(refs = 1, '', sha256) WHERE id = ?",
      content);
}

Error noContent(std::int64_t content) {
  return {ErrorCode::kNotFound, fmt::format("no content {} on its way", content)};
}

/// Where an announced upload goes.
Result<UploadPath> placeOf(SqliteConnection& db, std::int64_t pending) {
  SqliteQuery query(db, "SELECT host, path FROM pending_uploads WHERE id = ?", pending);
  if (query.next()) return UploadPath{std::string(query.text(0)), std::string(query.text(1))};
  if (query.failed()) return query.error();
  return Error{ErrorCode::kNotFound, fmt::format("no pending upload {}", pending)};
}

/// The oldest version of the mount that may go; nullopt: none may.
Result<std::optional<std::int64_t>> oldestToGo(SqliteConnection& db, std::string_view host,
                                               std::string_view mount, std::int64_t pending,
                                               WallTime now) {
  SqliteQuery query(
      db,
      "SELECT replaced_by FROM (SELECT * FROM versions WHERE host = ?1 AND mount = ?2 AND "
      "replaced_by > 0 ORDER BY ended, upload LIMIT ?5) AS old WHERE ended <= ?3 OR "
      "EXISTS(SELECT 1 FROM versions WHERE host = old.host AND path = old.path AND "
      "replaced_by <> old.replaced_by AND (replaced_by > 0 OR replaced_by = ?4)) LIMIT 1",
      host, mount, seconds(now - kProtectedVersion), -pending, kMostLooked);
  std::optional<std::int64_t> found;
  if (query.next()) found = query.integer(0);
  if (query.failed()) return query.error();
  return found;
}

/// Forgets what more there is than `most` of one file.
Result<void> pruneFile(SqliteConnection& db, const UploadPath& place, std::int64_t pending,
                       std::uint64_t most) {
  constexpr std::uint64_t kUnlimited = std::numeric_limits<std::int64_t>::max();
  for (;;) {
    std::int64_t extra = 0;
    {
      SqliteQuery query(
          db,
          "SELECT replaced_by FROM versions WHERE host = ? AND path = ? AND "
          "(replaced_by > 0 OR replaced_by = ?) ORDER BY upload DESC LIMIT 1 OFFSET ?",
          place.host, place.path, -pending, static_cast<std::int64_t>(std::min(most, kUnlimited)));
      if (query.next()) extra = query.integer(0);
      if (query.failed()) return query.error();
    }
    if (extra == 0) return {};
    if (auto forgotten = forgetVersion(db, extra); !forgotten) return forgotten;
  }
}

/// Forgets the mount's oldest versions until they fit.
Result<void> pruneMount(SqliteConnection& db, std::string_view host, std::string_view mount,
                        std::int64_t pending, std::uint64_t most, WallTime now) {
  for (;;) {
    const auto bytes = sumOf(db, host, mount);
    if (!bytes) return bytes.error();
    if (count(*bytes) <= most) return {};
    const auto oldest = oldestToGo(db, host, mount, pending, now);
    if (!oldest) return oldest.error();
    if (!*oldest) {
      return Error{ErrorCode::kNoSpace, "upload.keep_size leaves no room for earlier versions"};
    }
    if (auto forgotten = forgetVersion(db, **oldest); !forgotten) return forgotten;
  }
}

constexpr std::string_view kVersionColumns =
    "SELECT upload, replaced_by, content, versions.size, sha256 FROM versions JOIN contents ON "
    "contents.id = content WHERE ";

Result<std::optional<Version>> versionOf(SqliteQuery& query) {
  std::optional<Version> found;
  if (query.next()) {
    found = Version{query.integer(0), query.integer(1), query.integer(2), count(query.integer(3)),
                    std::string(query.text(4).substr(0, kLongest))};
  }
  if (query.failed()) return query.error();
  return found;
}

}  // namespace

Result<void> forgetVersion(SqliteConnection& db, std::int64_t replacedBy) {
  std::int64_t upload = 0;
  std::int64_t content = 0;
  std::int64_t size = 0;
  std::string host;
  std::string mount;
  {
    SqliteQuery query(
        db, "SELECT upload, content, size, host, mount FROM versions WHERE replaced_by = ?",
        replacedBy);
    if (!query.next()) return query.failed() ? Result<void>(query.error()) : Result<void>();
    upload = query.integer(0);
    content = query.integer(1);
    size = query.integer(2);
    host = query.text(3);
    mount = query.text(4);
  }
  auto done = db.run("DELETE FROM versions WHERE replaced_by = ?", replacedBy);
  if (done) done = addToSum(db, host, mount, -counted(size));
  if (done) done = giveBack(db, content);
  // Without its content such a record tells of nothing.
  if (done) done = db.run("DELETE FROM uploads WHERE id = ? AND outcome = 'found'", upload);
  return done;
}

Result<std::int64_t> SqliteStorage::appendContent(std::int64_t content, std::string_view bytes,
                                                  WallTime now) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
    if (content == 0) {
      auto begun = db_.run(
          "INSERT INTO contents(sha256, size, parts, refs, begun) "
          "VALUES('', 0, 0, 0, ?)",
          std::max<std::int64_t>(seconds(now), 1));
      if (!begun) return begun.error();
      content = db_.lastRowId();
    }
    std::uint64_t part = 0;
    {
      SqliteQuery query(db_, "SELECT parts FROM contents WHERE id = ? AND begun > 0", content);
      if (!query.next()) return query.failed() ? query.error() : noContent(content);
      part = count(query.integer(0));
    }
    if (part >= kMostParts) return Error{ErrorCode::kNoSpace, "a file too large to be kept"};
    {
      SqliteQuery query(db_, "INSERT INTO content_parts VALUES(?, ?)");
      query.bind(1, partId(content, part));
      query.bindBlob(2, bytes);
      query.next();
      if (query.failed()) return query.error();
    }
    auto done = db_.run("UPDATE contents SET parts = parts + 1, size = size + ? WHERE id = ?",
                        static_cast<std::int64_t>(bytes.size()), content);
    if (!done) return done.error();
    return content;
  });
}

/// Completes the content, or takes the same one that is there already; counts the version.
Result<std::int64_t> SqliteStorage::finishContent(const OldContent& old, WallTime now) {
  std::int64_t content = old.content;
  std::int64_t same = 0;
  {
    SqliteQuery query(db_, "SELECT id FROM contents WHERE sha256 = ? AND sha256 <> ''", old.sha256);
    if (query.next()) same = query.integer(0);
    if (query.failed()) return query.error();
  }
  if (same == 0 && (content == 0 || !old.rest.empty())) {
    const auto added = appendContent(content, old.rest, now);
    if (!added) return added;
    content = *added;
  }
  Result<void> done;
  if (same == 0) {
    done = db_.run("UPDATE contents SET sha256 = ?, begun = 0, refs = 1 WHERE id = ? AND begun > 0",
                   old.sha256, content);
    if (done && db_.changes() == 0) return noContent(content);
  } else {
    done = db_.run("UPDATE contents SET refs = refs + 1 WHERE id = ?", same);
    // What was appended is not needed.
    if (done && content != 0) {
      done = db_.run("UPDATE contents SET begun = 0 WHERE id = ? AND refs = 0", content);
    }
  }
  if (!done) return done.error();
  return same == 0 ? content : same;
}

/// The record that tells of the content: the file's latest one, or one that is made for it.
Result<std::int64_t> SqliteStorage::recordOfContent(const UploadPath& place, const OldContent& old,
                                                    WallTime now) {
  const auto latest = latestUpload(place.host, place.path);
  if (!latest) return latest.error();
  if (*latest && (*latest)->sha256 == old.sha256) return (*latest)->id;
  UploadRecord found;
  found.time = std::min(old.written, now);
  found.host = place.host;
  found.path = place.path;
  found.size = old.size;
  found.sha256 = old.sha256;
  found.outcome = UploadOutcome::kFound;
  return insertUpload(db_, found, false);
}

Result<void> SqliteStorage::keepVersion(std::int64_t pending, const std::optional<OldContent>& old,
                                        WallTime now) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    auto forgotten = forgetVersion(db_, -pending);
    if (!forgotten || !old) return forgotten;
    const auto place = placeOf(db_, pending);
    if (!place) return place.error();
    const auto upload = recordOfContent(*place, *old, now);
    if (!upload) return upload.error();
    const auto content = finishContent(*old, now);
    if (!content) return content.error();
    const auto size = static_cast<std::int64_t>(old->size);
    {
      SqliteQuery query(db_, "INSERT INTO versions VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", -pending,
                        *upload, place->host, old->mount, place->path, *content, size,
                        seconds(now));
      if (old->expires) query.bind(9, seconds(*old->expires));
      query.next();
      if (query.failed()) return query.error();
    }
    return addToSum(db_, place->host, old->mount, counted(size));
  });
}

Result<void> SqliteStorage::pruneVersions(std::int64_t pending, std::string_view mount,
                                          const KeepRules& rules, WallTime now) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    const auto place = placeOf(db_, pending);
    if (!place) return place.error();
    if (auto done = pruneFile(db_, *place, pending, rules.count); !done) return done;
    return pruneMount(db_, place->host, mount, pending, rules.bytes, now);
  });
}

Result<std::uint64_t> SqliteStorage::expireVersions(WallTime now) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::uint64_t> {
    std::vector<std::int64_t> old;
    {
      SqliteQuery query(db_,
                        "SELECT replaced_by FROM versions WHERE expires <= ? AND replaced_by > 0 "
                        "ORDER BY expires LIMIT ?",
                        seconds(now), kMostLooked);
      while (query.next()) old.push_back(query.integer(0));
      if (query.failed()) return query.error();
    }
    for (const std::int64_t each : old) {
      if (auto forgotten = forgetVersion(db_, each); !forgotten) return forgotten.error();
    }
    return old.size();
  });
}

Result<std::uint64_t> SqliteStorage::sweepContents(WallTime begun, std::size_t most) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::uint64_t> {
    std::uint64_t freed = 0;
    while (freed < most) {
      std::int64_t content = 0;
      {
        SqliteQuery query(db_,
                          "SELECT id FROM contents WHERE refs = 0 AND begun <= ? "
                          "ORDER BY begun LIMIT 1",
                          seconds(begun));
        if (query.next()) content = query.integer(0);
        if (query.failed()) return query.error();
      }
      if (content == 0) return freed;
      auto done = db_.run(
          "DELETE FROM content_parts WHERE id IN (SELECT id FROM content_parts WHERE id >= ? AND "
          "id < ? LIMIT ?)",
          partId(content, 0), partId(content, kMostParts), static_cast<std::int64_t>(most - freed));
      if (!done) return done.error();
      freed += db_.changes();
      if (freed < most) done = db_.run("DELETE FROM contents WHERE id = ?", content);
      if (!done) return done.error();
    }
    return freed;
  });
}

Result<std::optional<Version>> SqliteStorage::findVersion(std::int64_t upload) {
  const auto record = showUpload(upload);
  if (!record) return record.error();
  if (record->outcome == UploadOutcome::kDeleted) return replacedVersion(upload);
  // A content may be of several versions, any of which has it.
  SqliteQuery query(db_,
                    std::string(kVersionColumns) +
                        "host = ? AND path = ? AND sha256 = ? AND replaced_by > 0 LIMIT 1",
                    record->host, record->path, record->sha256);
  return versionOf(query);
}

Result<std::optional<Version>> SqliteStorage::replacedVersion(std::int64_t upload) {
  SqliteQuery query(db_, std::string(kVersionColumns) + "replaced_by = ?", upload);
  return versionOf(query);
}

Result<std::string> SqliteStorage::readContent(std::int64_t content, std::uint64_t part) {
  if (part >= kMostParts) return std::string();
  SqliteQuery query(db_, "SELECT bytes FROM content_parts WHERE id = ?", partId(content, part));
  std::string bytes;
  if (query.next()) bytes = query.text(0);
  if (query.failed()) return query.error();
  return bytes;
}

}  // namespace egalaxyd::sqlite
