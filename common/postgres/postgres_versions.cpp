#include "common/postgres/postgres_tables.h"

namespace egalaxyd::postgres {
namespace {

constexpr std::int64_t kMostParts = 1 << 20;
/// Versions that are looked at for room; those of more are left for the next upload.
constexpr std::int64_t kMostLooked = 1000;

/// What a version counts against KeepRules::bytes.
std::int64_t countedVersion(std::int64_t size) {
  constexpr std::int64_t kMostVersionBytes = std::int64_t{1} << 50;
  return std::clamp<std::int64_t>(size, 0, kMostVersionBytes) +
         static_cast<std::int64_t>(kBlockBytes);
}

void addToMount(Lane& db, std::string_view host, std::string_view mount, std::int64_t bytes) {
  db.later(
      "INSERT INTO version_sums AS sums VALUES($1, $2, $3, $4) ON CONFLICT (host, mount, lane) "
      "DO UPDATE SET bytes = sums.bytes + excluded.bytes",
      {std::string(host), std::string(mount), db.slot(), bytes});
}

/// Content with its first part: whole already where it has its sum, and then one has it.
Result<std::int64_t> firstPart(Lane& db, std::string_view sha256, std::int64_t refs,
                               std::int64_t begun, std::string_view bytes) {
  return insert(db,
                "WITH made AS (INSERT INTO contents(sha256, size, parts, refs, begun) "
                "VALUES($1, length($4), 1, $2, $3) RETURNING id) "
                "INSERT INTO content_parts SELECT id, 0, $4 FROM made RETURNING content",
                sha256, refs, begun, Value::ofBytes(bytes));
}

Error noContent(std::int64_t content) {
  return {ErrorCode::kNotFound, fmt::format("no content {} on its way", content)};
}

/// Where an announced upload goes.
Result<UploadPath> placeOf(Lane& db, std::int64_t pending) {
  const auto rows = db.query("SELECT host, path FROM pending_uploads WHERE id = $1", pending);
  if (!rows) return rows.error();
  if (rows->empty()) return noPending(pending);
  return UploadPath{text(*rows, 0, 0), text(*rows, 0, 1)};
}

/// The first number of the first row; 0: there is none.
Result<std::int64_t> numberOf(const Result<Rows>& rows) {
  if (!rows) return rows.error();
  return rows->empty() ? 0 : rows->integer(0, 0);
}

/// The oldest version of the mount that may go; 0: none may.
Result<std::int64_t> oldestToGo(Lane& db, std::string_view host, std::string_view mount,
                                std::int64_t pending, WallTime now) {
  return numberOf(
      db.query("SELECT replaced_by FROM (SELECT * FROM versions WHERE host = $1 AND mount = $2 AND "
               "replaced_by > 0 ORDER BY ended, upload LIMIT $5) AS old WHERE ended <= $3 OR "
               "EXISTS(SELECT 1 FROM versions WHERE host = old.host AND path = old.path AND "
               "replaced_by <> old.replaced_by AND (replaced_by > 0 OR replaced_by = $4)) "
               "ORDER BY ended, upload LIMIT 1",
               host, mount, seconds(now - kProtectedVersion), -pending, kMostLooked));
}

/// Forgets what more there is than `most` of one file.
Result<void> pruneFile(Lane& db, const UploadPath& place, std::int64_t pending,
                       std::uint64_t most) {
  constexpr std::uint64_t kUnlimited = std::numeric_limits<std::int64_t>::max();
  for (;;) {
    const auto extra = numberOf(db.query(
        "SELECT replaced_by FROM versions WHERE host = $1 AND path = $2 AND "
        "(replaced_by > 0 OR replaced_by = $3) ORDER BY upload DESC LIMIT 1 OFFSET $4",
        place.host, place.path, -pending, static_cast<std::int64_t>(std::min(most, kUnlimited))));
    if (!extra) return extra.error();
    if (*extra == 0) return {};
    if (auto forgotten = forgetVersion(db, *extra); !forgotten) return forgotten;
  }
}

/// Forgets the mount's oldest versions until they fit. One transaction at a time does, and others
/// leave it to that: so they may take more for a moment, and nobody waits.
Result<void> pruneMount(Lane& db, std::string_view host, std::string_view mount,
                        std::int64_t pending, std::uint64_t most, WallTime now) {
  for (bool isOurs = false;;) {
    const auto bytes = numberOf(db.query(
        "SELECT sum(bytes)::bigint FROM version_sums WHERE host = $1 AND mount = $2", host, mount));
    if (!bytes) return bytes.error();
    if (count(*bytes) <= most) return {};
    if (!isOurs) {
      const auto taken = db.tryKey(fmt::format("versions:{}{}", host, mount));
      if (!taken) return taken.error();
      if (!*taken) return {};
      isOurs = true;
    }
    const auto oldest = oldestToGo(db, host, mount, pending, now);
    if (!oldest) return oldest.error();
    if (*oldest == 0) {
      return Error{ErrorCode::kNoSpace, "upload.keep_size leaves no room for earlier versions"};
    }
    if (auto forgotten = forgetVersion(db, *oldest); !forgotten) return forgotten;
  }
}

constexpr std::string_view kVersionColumns =
    "SELECT upload, replaced_by, content, versions.size, sha256 FROM versions JOIN contents ON "
    "contents.id = content WHERE ";

Result<std::optional<Version>> versionOf(const Result<Rows>& rows) {
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<Version>();
  return std::optional(Version{rows->integer(0, 0), rows->integer(0, 1), rows->integer(0, 2),
                               count(rows->integer(0, 3)), text(*rows, 0, 4)});
}

}  // namespace

/// Content that nobody has any more cannot be found by its sum: it is being swept.
void giveBack(Lane& db, std::int64_t content) {
  if (content == 0) return;
  db.later(
      "UPDATE contents SET refs = refs - 1, sha256 = CASE WHEN refs = 1 THEN '' ELSE sha256 END "
      "WHERE id = $1",
      {content});
}

Result<void> forgetVersion(Lane& db, std::int64_t replacedBy) {
  const auto rows = db.query(
      "DELETE FROM versions WHERE replaced_by = $1 RETURNING upload, content, size, host, mount",
      replacedBy);
  if (!rows) return rows.error();
  if (rows->empty()) return {};
  giveBack(db, rows->integer(0, 1));
  // Without its content such a record tells of nothing.
  db.later("DELETE FROM uploads WHERE id = $1 AND outcome = 'found'", {rows->integer(0, 0)});
  addToMount(db, text(*rows, 0, 3), text(*rows, 0, 4), -countedVersion(rows->integer(0, 2)));
  return {};
}

Result<std::int64_t> PostgresStorage::appendContent(std::int64_t content, std::string_view bytes,
                                                    WallTime now) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::int64_t> {
    if (content == 0) return firstPart(db_, "", 0, std::max<std::int64_t>(seconds(now), 1), bytes);
    const auto rows = db_.query(
        "UPDATE contents SET parts = parts + 1, size = size + $2 WHERE id = $1 AND begun > 0 "
        "RETURNING parts - 1",
        content, static_cast<std::int64_t>(bytes.size()));
    if (!rows) return rows.error();
    if (rows->empty()) return noContent(content);
    const std::int64_t part = rows->integer(0, 0);
    if (part >= kMostParts) return Error{ErrorCode::kNoSpace, "a file too large to be kept"};
    auto done = execute(db_, "INSERT INTO content_parts VALUES($1, $2, $3)", content, part,
                        Value::ofBytes(bytes));
    if (!done) return done.error();
    return content;
  });
}

/// Completes the content, or takes the same one that is there already; one more has it.
Result<std::int64_t> PostgresStorage::finishContent(const Whole& whole, WallTime now) {
  const auto same = numberOf(
      db_.query("SELECT id FROM contents WHERE sha256 = $1 AND sha256 <> ''", whole.sha256));
  if (!same) return same;
  if (*same != 0) {
    const auto taken = db_.run("UPDATE contents SET refs = refs + 1 WHERE id = $1 AND sha256 = $2",
                               *same, whole.sha256);
    if (!taken) return taken.error();
    if (*taken == 0) return db_.again("content that was there has just gone");
    // What was appended is not needed.
    if (whole.content != 0) {
      db_.later("UPDATE contents SET begun = 0 WHERE id = $1 AND refs = 0", {whole.content});
    }
    return same;
  }
  if (whole.content == 0) {
    if (whole.rest.size() != whole.size) return noContent(0);
    return firstPart(db_, whole.sha256, 1, 0, whole.rest);
  }
  if (!whole.rest.empty()) {
    if (auto added = appendContent(whole.content, whole.rest, now); !added) return added;
  }
  const auto done = db_.run(
      "UPDATE contents SET sha256 = $1, begun = 0, refs = 1 WHERE id = $2 AND begun > 0 AND "
      "size = $3",
      whole.sha256, whole.content, static_cast<std::int64_t>(whole.size));
  if (!done) return done.error();
  if (*done == 0) return noContent(whole.content);
  return whole.content;
}

/// The record that tells of the content: the file's latest one, or one that is made for it.
Result<std::int64_t> PostgresStorage::recordOfContent(const UploadPath& place,
                                                      const OldContent& old, WallTime now) {
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

Result<void> PostgresStorage::keepVersion(std::int64_t pending,
                                          const std::optional<OldContent>& old, WallTime now) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    auto forgotten = forgetVersion(db_, -pending);
    if (!forgotten || !old) return forgotten;
    const auto place = placeOf(db_, pending);
    if (!place) return place.error();
    const auto upload = recordOfContent(*place, *old, now);
    if (!upload) return upload.error();
    const auto content = finishContent({old->sha256, old->size, old->content, old->rest}, now);
    if (!content) return content.error();
    const auto size = static_cast<std::int64_t>(old->size);
    std::optional<std::int64_t> expires;
    if (old->expires) expires = seconds(*old->expires);
    auto kept = execute(db_, "INSERT INTO versions VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                        -pending, *upload, place->host, old->mount, place->path, *content, size,
                        seconds(now), expires);
    if (kept) addToMount(db_, place->host, old->mount, countedVersion(size));
    return kept;
  });
}

Result<void> PostgresStorage::pruneVersions(std::int64_t pending, std::string_view mount,
                                            const KeepRules& rules, WallTime now) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    const auto place = placeOf(db_, pending);
    if (!place) return place.error();
    if (auto done = pruneFile(db_, *place, pending, rules.count); !done) return done;
    return pruneMount(db_, place->host, mount, pending, rules.bytes, now);
  });
}

Result<void> PostgresStorage::bringContent(std::int64_t pending, const NewContent& content,
                                           WallTime now) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    const auto rows = db_.query(
        "SELECT sha256, size, content FROM pending_uploads WHERE id = $1 FOR UPDATE", pending);
    if (!rows) return rows.error();
    if (rows->empty()) return noPending(pending);
    if (rows->text(0, 0).empty()) return Error{ErrorCode::kInvalid, "content of a deletion"};
    const std::string sum = text(*rows, 0, 0);
    const auto whole =
        finishContent({sum, count(rows->integer(0, 1)), content.content, content.rest}, now);
    if (!whole) return whole.error();
    giveBack(db_, rows->integer(0, 2));
    db_.later("UPDATE pending_uploads SET content = $1 WHERE id = $2", {*whole, pending});
    return {};
  });
}

Result<std::optional<std::int64_t>> PostgresStorage::contentOf(std::int64_t upload) {
  const auto content =
      numberOf(db_.query("SELECT content FROM uploads WHERE id = $1 AND latest", upload));
  if (!content) return content.error();
  return *content == 0 ? std::optional<std::int64_t>() : std::optional(*content);
}

Result<std::uint64_t> PostgresStorage::expireVersions(WallTime now) {
  return byOneAtATime("expire versions", [&]() -> Result<std::uint64_t> {
    const auto rows = db_.query(
        "SELECT replaced_by FROM versions WHERE expires <= $1 AND replaced_by > 0 "
        "ORDER BY expires LIMIT $2",
        seconds(now), kMostLooked);
    if (!rows) return rows.error();
    for (int row = 0; row < rows->size(); ++row) {
      if (auto forgotten = forgetVersion(db_, rows->integer(row, 0)); !forgotten) {
        return forgotten.error();
      }
    }
    return static_cast<std::uint64_t>(rows->size());
  });
}

Result<std::uint64_t> PostgresStorage::sweepContents(WallTime begun, std::size_t most) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::uint64_t> {
    std::uint64_t freed = 0;
    while (freed < most) {
      const auto content = numberOf(
          db_.query("SELECT id FROM contents WHERE refs = 0 AND begun <= $1 ORDER BY begun LIMIT 1 "
                    "FOR UPDATE SKIP LOCKED",
                    seconds(begun)));
      if (!content) return content.error();
      if (*content == 0) return freed;
      const auto parts = db_.run(
          "DELETE FROM content_parts WHERE content = $1 AND part IN "
          "(SELECT part FROM content_parts WHERE content = $1 LIMIT $2)",
          *content, limited(most - freed));
      if (!parts) return parts.error();
      freed += *parts;
      if (freed < most) db_.later("DELETE FROM contents WHERE id = $1", {*content});
    }
    return freed;
  });
}

Result<std::optional<Version>> PostgresStorage::findVersion(std::int64_t upload) {
  const auto record = showUpload(upload);
  if (!record) return record.error();
  if (record->outcome == UploadOutcome::kDeleted) return replacedVersion(upload);
  // A content may be of several versions, any of which has it.
  return versionOf(db_.query(std::string(kVersionColumns) +
                                 "host = $1 AND path = $2 AND sha256 = $3 AND "
                                 "replaced_by > 0 ORDER BY replaced_by LIMIT 1",
                             record->host, record->path, record->sha256));
}

Result<std::optional<Version>> PostgresStorage::replacedVersion(std::int64_t upload) {
  return versionOf(db_.query(std::string(kVersionColumns) + "replaced_by = $1", upload));
}

Result<std::string> PostgresStorage::readContent(std::int64_t content, std::uint64_t part) {
  if (part >= static_cast<std::uint64_t>(kMostParts)) return std::string();
  const auto rows = db_.query("SELECT bytes FROM content_parts WHERE content = $1 AND part = $2",
                              content, static_cast<std::int64_t>(part));
  if (!rows) return rows.error();
  return rows->empty() ? std::string() : std::string(rows->text(0, 0));
}

}  // namespace egalaxyd::postgres
