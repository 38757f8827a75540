#include "common/storage/sqlite_tables.h"

namespace egalaxyd::sqlite {
namespace {

/// Keys of one user that are read at most.
constexpr std::int64_t kMostKeys = 1000;

Result<void> checkKeys(std::string_view certificate, std::string_view key) {
  if (auto checked = checkFingerprint(certificate); !checked) return checked;
  return checkFingerprint(key);
}

Result<bool> mayMakeUser(SqliteConnection& db, const StorageLimits& limits, WallTime now) {
  if (limits.newUsersPerMinute == 0) return true;
  SqliteQuery query(db, "SELECT count(*) FROM users WHERE first_seen > ? AND first_seen <= ?",
                    seconds(now - std::chrono::minutes(1)), seconds(now));
  const std::uint64_t made = query.next() ? count(query.integer(0)) : 0;
  if (query.failed()) return query.error();
  return made < limits.newUsersPerMinute;
}

Result<std::string> makeUser(SqliteConnection& db, std::string_view certificate,
                             std::string_view key, WallTime now, std::string_view claimed) {
  if (auto made = db.run("INSERT INTO users(id, first_seen, last_seen, visits, claimed) "
                         "VALUES(?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
                         certificate, seconds(now), seconds(now), claimed);
      !made) {
    return made.error();
  }
  if (auto made = db.run("INSERT INTO user_keys VALUES(?, ?)", key, certificate); !made) {
    return made.error();
  }
  return std::string(certificate);
}

Result<std::vector<User>> selectUsers(SqliteConnection& db, std::string_view where,
                                      std::string_view from, std::string_view to,
                                      std::size_t limit) {
  SqliteQuery query(db,
                    fmt::format("SELECT id, first_seen, last_seen, visits, claimed FROM users "
                                "WHERE {} LIMIT ?",
                                where),
                    from, to, static_cast<std::int64_t>(limit));
  std::vector<User> users;
  while (query.next()) {
    users.push_back({.id = std::string(query.text(0).substr(0, kLongest)),
                     .firstSeen = wallTime(query.integer(1)),
                     .lastSeen = wallTime(query.integer(2)),
                     .visits = count(query.integer(3)),
                     .claimed = std::string(query.text(4).substr(0, kLongest))});
    SqliteQuery keys(db, "SELECT key FROM user_keys WHERE user = ? ORDER BY key LIMIT ?",
                     users.back().id, kMostKeys);
    while (keys.next()) users.back().keys.emplace_back(keys.text(0));
    if (keys.failed()) return keys.error();
  }
  if (query.failed()) return query.error();
  return users;
}

}  // namespace

Result<std::optional<std::string>> SqliteStorage::findUser(std::string_view certificate,
                                                           std::string_view key) {
  if (auto checked = checkKeys(certificate, key); !checked) return checked.error();
  SqliteQuery query(db_, "SELECT user FROM user_keys WHERE key = ?", key);
  std::optional<std::string> user;
  if (query.next()) user = query.text(0);
  if (query.failed()) return query.error();
  return user;
}

Result<std::string> SqliteStorage::resolveUser(std::string_view certificate, std::string_view key,
                                               WallTime now, std::string_view claimed) {
  auto found = findUser(certificate, key);
  if (!found) return found.error();
  if (*found) return **found;
  return atomically(*this, Access::kWrite, [&]() -> Result<std::string> {
    // Between the first look and the lock another worker may have made the user.
    found = findUser(certificate, key);
    if (!found) return found.error();
    if (*found) return **found;
    const auto allowed = mayMakeUser(db_, limits_, now);
    if (!allowed) return allowed.error();
    if (!*allowed) return tooManyNewUsers(limits_);
    return makeUser(db_, certificate, key, now, claimed);
  });
}

Result<void> SqliteStorage::addVisits(std::span<const Visit> visits) {
  return atomically(*this, Access::kWrite, [&]() -> Result<void> {
    for (const Visit& visit : visits) {
      auto user = findUser(visit.certificate, visit.key);
      if (!user) return user.error();
      if (!*user && visit.admitted) {
        const auto allowed = mayMakeUser(db_, limits_, visit.last);
        if (!allowed) return allowed.error();
        if (*allowed) {
          auto made = makeUser(db_, visit.certificate, visit.key, visit.last, visit.claimed);
          if (!made) return made.error();
          *user = std::move(*made);
        }
      }
      if (!*user) continue;
      if (auto done = db_.run("UPDATE users SET visits = visits + ?, "
                              "last_seen = max(last_seen, ?), claimed = ? WHERE id = ?",
                              static_cast<std::int64_t>(visit.count), seconds(visit.last),
                              visit.claimed, **user);
          !done) {
        return done;
      }
    }
    return {};
  });
}

Result<std::uint64_t> SqliteStorage::expireUsers(WallTime lastSeen, std::size_t most) {
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

Result<std::vector<User>> SqliteStorage::listUsers(std::size_t limit) {
  // The plus signs keep SQLite from using the primary key, so that it takes users_last_seen, which
  // has the order already.
  return selectUsers(db_, "+id >= ? AND +id < ? ORDER BY last_seen DESC, id", "", "g", limit);
}

Result<User> SqliteStorage::showUser(std::string_view idOrPrefix) {
  if (idOrPrefix.empty()) return Error{ErrorCode::kInvalid, "an empty user id"};
  // Ids are hex digits: what begins with the prefix sorts before the prefix and a 'g'.
  auto users = selectUsers(db_, "id >= ? AND id < ? ORDER BY id", idOrPrefix,
                           std::string(idOrPrefix) + 'g', 2);
  if (!users) return users.error();
  if (users->empty()) return noSuchUser(idOrPrefix);
  if (users->size() == 1) return std::move(users->front());
  return Error{ErrorCode::kInvalid,
               fmt::format("several users begin with {}; give more digits", idOrPrefix)};
}

Result<ForgottenUser> SqliteStorage::forgetUser(std::string_view id) {
  return atomically(*this, Access::kWrite, [&]() -> Result<ForgottenUser> {
    // One by one, so that each is counted.
    ForgottenUser gone;
    std::uint64_t users = 0;
    std::uint64_t pending = 0;
    const std::pair<const char*, std::uint64_t*> steps[] = {
        {"DELETE FROM metadata WHERE user = ?", &gone.metadata},
        {"DELETE FROM user_keys WHERE user = ?", &gone.keys},
        {"UPDATE uploads SET user = NULL, client = '', writer = '' WHERE user = ?", &gone.uploads},
        {"UPDATE pending_uploads SET user = NULL, client = '', writer = '' WHERE user = ?",
         &pending},
        {"DELETE FROM users WHERE id = ?", &users}};
    for (const auto& [sql, count] : steps) {
      if (auto done = db_.run(sql, id); !done) return done.error();
      *count = db_.changes();
    }
    if (users == 0) return noSuchUser(id);
    return gone;
  });
}

}  // namespace egalaxyd::sqlite
