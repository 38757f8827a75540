#include "common/storage/sqlite_tables.h"

namespace egalaxyd::sqlite {

Result<std::map<std::string, std::string>> SqliteStorage::readMetadata(std::string_view user) {
  SqliteQuery query(db_, "SELECT key, value FROM metadata WHERE user = ?", user);
  std::map<std::string, std::string> metadata;
  while (query.next()) {
    metadata.emplace(query.text(0).substr(0, kLongest), query.text(1).substr(0, kMaxMetadataBytes));
  }
  if (query.failed()) return query.error();
  return metadata;
}

Result<std::optional<std::string>> SqliteStorage::readMetadata(std::string_view user,
                                                               std::string_view key) {
  SqliteQuery query(db_, "SELECT value FROM metadata WHERE user = ? AND key = ?", user, key);
  std::optional<std::string> value;
  if (query.next()) value = query.text(0);
  if (query.failed()) return query.error();
  return value;
}

Result<void> SqliteStorage::writeMetadata(std::string_view user, std::string_view key,
                                          std::string_view value, WallTime now) {
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

Result<std::vector<MetadataEntry>> SqliteStorage::findMetadata(std::string_view prefix,
                                                               std::size_t limit) {
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

Result<void> SqliteStorage::removeMetadata(std::string_view user, std::string_view key) {
  return atomically(*this, Access::kWrite, [&] {
    return db_.run("DELETE FROM metadata WHERE user = ? AND key = ?", user, key);
  });
}

Result<std::uint64_t> SqliteStorage::expireMetadata(WallTime lastSeen, std::size_t most) {
  return atomically(*this, Access::kWrite, [&]() -> Result<std::uint64_t> {
    auto done = db_.run(
        "DELETE FROM metadata WHERE (user, key) IN (SELECT user, key FROM users "
        "CROSS JOIN metadata ON user = id WHERE last_seen < ? LIMIT ?)",
        seconds(lastSeen), static_cast<std::int64_t>(most));
    if (!done) return done.error();
    return db_.changes();
  });
}

}  // namespace egalaxyd::sqlite
