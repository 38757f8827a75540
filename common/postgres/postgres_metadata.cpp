#include "common/postgres/postgres_tables.h"

namespace egalaxyd::postgres {

Result<std::map<std::string, std::string>> PostgresStorage::readMetadata(std::string_view user) {
  const auto rows = db_.query("SELECT key, value FROM metadata WHERE user_id = $1", user);
  if (!rows) return rows.error();
  std::map<std::string, std::string> metadata;
  for (int row = 0; row < rows->size(); ++row) {
    metadata.emplace(text(*rows, row, 0), rows->text(row, 1).substr(0, kMaxMetadataBytes));
  }
  return metadata;
}

Result<std::optional<std::string>> PostgresStorage::readMetadata(std::string_view user,
                                                                 std::string_view key) {
  const auto rows =
      db_.query("SELECT value FROM metadata WHERE user_id = $1 AND key = $2", user, key);
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<std::string>();
  return std::optional(std::string(rows->text(0, 0).substr(0, kMaxMetadataBytes)));
}

Result<void> PostgresStorage::writeMetadata(std::string_view user, std::string_view key,
                                            std::string_view value, WallTime now) {
  if (auto checked = checkMetadata(key, value); !checked) return checked;
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    const auto seen = db_.run("UPDATE users SET last_seen = greatest(last_seen, $1) WHERE id = $2",
                              seconds(now), user);
    if (!seen) return seen.error();
    if (*seen == 0) return noSuchUser(user);
    return execute(db_,
                   "INSERT INTO metadata(user_id, key, updated, value) VALUES($1, $2, $3, $4) "
                   "ON CONFLICT (user_id, key) DO UPDATE SET updated = excluded.updated, "
                   "value = excluded.value",
                   user, key, seconds(now), Value::ofBytes(value));
  });
}

Result<std::vector<MetadataEntry>> PostgresStorage::findMetadata(std::string_view prefix,
                                                                 std::size_t limit) {
  const auto rows = db_.query(
      "SELECT user_id, key, value, updated FROM metadata WHERE key ^@ $1 "
      "ORDER BY updated DESC, user_id, key LIMIT $2",
      prefix, limited(limit));
  if (!rows) return rows.error();
  std::vector<MetadataEntry> entries;
  for (int row = 0; row < rows->size(); ++row) {
    entries.push_back({text(*rows, row, 0), text(*rows, row, 1),
                       std::string(rows->text(row, 2).substr(0, kMaxMetadataBytes)),
                       wallTime(rows->integer(row, 3))});
  }
  return entries;
}

Result<void> PostgresStorage::removeMetadata(std::string_view user, std::string_view key) {
  return atomically(*this, Access::kWrite, [&] {
    return execute(db_, "DELETE FROM metadata WHERE user_id = $1 AND key = $2", user, key);
  });
}

/// Whoever comes back meanwhile is left alone.
Result<std::uint64_t> PostgresStorage::expireMetadata(WallTime lastSeen, std::size_t most) {
  return byOneAtATime("expire metadata", [&] {
    return db_.run(
        "DELETE FROM metadata WHERE (user_id, key) IN (SELECT user_id, key FROM users "
        "JOIN metadata ON user_id = id WHERE last_seen < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        seconds(lastSeen), limited(most));
  });
}

}  // namespace egalaxyd::postgres
