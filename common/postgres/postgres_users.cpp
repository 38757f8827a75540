#include "common/postgres/postgres_tables.h"

namespace egalaxyd::postgres {
namespace {

Result<void> checkBoth(std::string_view certificate, std::string_view key) {
  if (auto checked = checkFingerprint(certificate); !checked) return checked;
  return checkFingerprint(key);
}

std::vector<std::string> splitKeys(std::string_view keys) {
  std::vector<std::string> list;
  while (!keys.empty()) {
    const auto comma = keys.find(',');
    list.emplace_back(keys.substr(0, comma));
    keys.remove_prefix(comma == std::string_view::npos ? keys.size() : comma + 1);
  }
  return list;
}

/// Of one user at most a thousand keys are read.
Result<std::vector<User>> selectUsers(Lane& db, std::string_view where, std::string_view from,
                                      std::string_view to, std::size_t limit) {
  const auto rows = db.query(
      fmt::format("SELECT id, first_seen, last_seen, visits, claimed, (SELECT string_agg(key, ',') "
                  "FROM (SELECT key FROM user_keys WHERE user_id = users.id ORDER BY key "
                  "LIMIT 1000) AS keys) FROM users WHERE {} LIMIT $3",
                  where),
      from, to, limited(limit));
  if (!rows) return rows.error();
  std::vector<User> users;
  for (int row = 0; row < rows->size(); ++row) {
    users.push_back({.id = text(*rows, row, 0),
                     .firstSeen = wallTime(rows->integer(row, 1)),
                     .lastSeen = wallTime(rows->integer(row, 2)),
                     .visits = count(rows->integer(row, 3)),
                     .keys = splitKeys(rows->text(row, 5)),
                     .claimed = text(*rows, row, 4)});
  }
  return users;
}

/// What users' visits amount to, for one statement.
struct VisitSums {
  std::vector<std::string> users;
  std::vector<std::int64_t> counts;
  std::vector<std::int64_t> lasts;
  std::vector<std::string> claims;
};

VisitSums sumsOf(std::span<const Visit> visits, const std::map<std::string, std::string>& users) {
  VisitSums sums;
  std::map<std::string_view, std::size_t> places;
  for (const Visit& visit : visits) {
    const auto user = users.find(visit.key);
    if (user == users.end()) continue;
    const auto [place, isNew] = places.try_emplace(user->second, sums.users.size());
    const auto number = static_cast<std::int64_t>(visit.count);
    if (isNew) {
      sums.users.push_back(user->second);
      sums.counts.push_back(number);
      sums.lasts.push_back(seconds(visit.last));
      sums.claims.push_back(visit.claimed);
      continue;
    }
    sums.counts[place->second] += number;
    sums.lasts[place->second] = std::max(sums.lasts[place->second], seconds(visit.last));
    sums.claims[place->second] = visit.claimed;
  }
  return sums;
}

}  // namespace

Result<std::optional<std::string>> PostgresStorage::findUser(std::string_view certificate,
                                                             std::string_view key) {
  if (auto checked = checkBoth(certificate, key); !checked) return checked.error();
  const auto rows = db_.query("SELECT user_id FROM user_keys WHERE key = $1", key);
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<std::string>();
  return std::optional(text(*rows, 0, 0));
}

Result<bool> PostgresStorage::mayMakeUser(WallTime now) {
  if (limits_.newUsersPerMinute == 0) return true;
  const auto rows =
      db_.query("SELECT count(*) FROM users WHERE first_seen > $1 AND first_seen <= $2",
                seconds(now - std::chrono::minutes(1)), seconds(now));
  if (!rows) return rows.error();
  return count(rows->integer(0, 0)) < limits_.newUsersPerMinute;
}

/// The key comes first: of two hosts that meet it at once, one waits here and finds the other's.
Result<std::string> PostgresStorage::makeUser(std::string_view certificate, std::string_view key,
                                              WallTime now, std::string_view claimed) {
  const auto made =
      db_.run("INSERT INTO user_keys VALUES($1, $2) ON CONFLICT DO NOTHING", key, certificate);
  if (!made) return made.error();
  if (*made == 0) {
    const auto found = findUser(certificate, key);
    if (!found) return found.error();
    if (*found) return **found;
    return Error{ErrorCode::kAgain, "a user that was just made has been forgotten"};
  }
  auto done = execute(db_,
                      "INSERT INTO users(id, first_seen, last_seen, visits, claimed) "
                      "VALUES($1, $2, $2, 0, $3) ON CONFLICT DO NOTHING",
                      certificate, seconds(now), claimed);
  if (!done) return done.error();
  return std::string(certificate);
}

Result<std::string> PostgresStorage::resolveUser(std::string_view certificate, std::string_view key,
                                                 WallTime now, std::string_view claimed) {
  const auto found = findUser(certificate, key);
  if (!found) return found.error();
  if (*found) return **found;
  return atomically(*this, Access::kWrite, [&]() -> Result<std::string> {
    const auto allowed = mayMakeUser(now);
    if (!allowed) return allowed.error();
    if (!*allowed) return tooManyNewUsers(limits_);
    return makeUser(certificate, key, now, claimed);
  });
}

/// A commit of its own that waits for no disk, or a part of the transaction that it is in.
Result<void> PostgresStorage::addVisits(std::span<const Visit> visits) {
  for (const Visit& visit : visits) {
    if (auto checked = checkBoth(visit.certificate, visit.key); !checked) return checked;
  }
  if (auto begun = db_.beginCheap(); !begun) return begun;
  const auto counted = countVisits(visits);
  if (counted) return db_.commit();
  db_.rollback();
  return counted;
}

Result<void> PostgresStorage::countVisits(std::span<const Visit> visits) {
  std::vector<std::string> keys;
  for (const Visit& visit : visits) keys.push_back(visit.key);
  const std::string array = arrayOf(keys);
  const auto rows =
      db_.query("SELECT key, user_id FROM user_keys WHERE key = ANY($1)", Value::ofTexts(array));
  if (!rows) return rows.error();
  std::map<std::string, std::string> users;
  for (int row = 0; row < rows->size(); ++row) users[text(*rows, row, 0)] = text(*rows, row, 1);
  if (auto made = makeVisitors(visits, users); !made) return made;
  const VisitSums sums = sumsOf(visits, users);
  const std::string ids = arrayOf(sums.users);
  const std::string counts = arrayOf(sums.counts);
  const std::string lasts = arrayOf(sums.lasts);
  const std::string claims = arrayOf(sums.claims);
  // The rows are locked in one order, so that no two hosts wait for each other.
  return execute(db_,
                 "WITH locked AS (SELECT id FROM users WHERE id = ANY($1) ORDER BY id "
                 "FOR NO KEY UPDATE) UPDATE users SET visits = visits + added, "
                 "last_seen = greatest(last_seen, last), claimed = said "
                 "FROM unnest($1, $2, $3, $4) AS sums(who, added, last, said) "
                 "JOIN locked ON locked.id = who WHERE users.id = who",
                 Value::ofTexts(ids), Value::ofNumbers(counts), Value::ofNumbers(lasts),
                 Value::ofTexts(claims));
}

/// Adds those to `users` who come to be by their visit.
Result<void> PostgresStorage::makeVisitors(std::span<const Visit> visits,
                                           std::map<std::string, std::string>& users) {
  for (const Visit& visit : visits) {
    if (!visit.admitted || users.contains(visit.key)) continue;
    const auto allowed = mayMakeUser(visit.last);
    if (!allowed) return allowed.error();
    if (!*allowed) continue;
    const auto made = makeUser(visit.certificate, visit.key, visit.last, visit.claimed);
    if (!made) return made.error();
    users[visit.key] = *made;
  }
  return {};
}

Result<std::uint64_t> PostgresStorage::expireUsers(WallTime lastSeen, std::size_t most) {
  return byOneAtATime("expire users", [&] {
    return db_.run(
        "DELETE FROM users WHERE id IN (SELECT id FROM users WHERE last_seen < $1 "
        "AND NOT EXISTS (SELECT 1 FROM metadata WHERE user_id = users.id) "
        "AND NOT EXISTS (SELECT 1 FROM uploads WHERE user_id = users.id AND outcome <> 'refused') "
        "AND NOT EXISTS (SELECT 1 FROM pending_uploads WHERE user_id = users.id) LIMIT $2 "
        "FOR UPDATE SKIP LOCKED)",
        seconds(lastSeen), limited(most));
  });
}

Result<std::vector<User>> PostgresStorage::listUsers(std::size_t limit) {
  return selectUsers(db_, "$1 <= $2 ORDER BY last_seen DESC, id", "", "", limit);
}

Result<User> PostgresStorage::showUser(std::string_view idOrPrefix) {
  if (idOrPrefix.empty()) return Error{ErrorCode::kInvalid, "an empty user id"};
  // Ids are hex digits: what begins with the prefix sorts before the prefix and a 'g'.
  auto users = selectUsers(db_, "id >= $1 AND id < $2 ORDER BY id", idOrPrefix,
                           std::string(idOrPrefix) + 'g', 2);
  if (!users) return users.error();
  if (users->empty()) return noSuchUser(idOrPrefix);
  if (users->size() == 1) return std::move(users->front());
  return Error{ErrorCode::kInvalid,
               fmt::format("several users begin with {}; give more digits", idOrPrefix)};
}

Result<ForgottenUser> PostgresStorage::forgetUser(std::string_view id) {
  return atomically(*this, Access::kWrite, [&]() -> Result<ForgottenUser> {
    if (auto moved = forgetInSums(db_, id); !moved) return moved.error();
    ForgottenUser gone;
    std::uint64_t users = 0;
    std::uint64_t pending = 0;
    const std::pair<const char*, std::uint64_t*> steps[] = {
        {"DELETE FROM metadata WHERE user_id = $1", &gone.metadata},
        {"DELETE FROM user_keys WHERE user_id = $1", &gone.keys},
        {"UPDATE uploads SET user_id = NULL, client = '', writer = '' WHERE user_id = $1",
         &gone.uploads},
        {"UPDATE pending_uploads SET user_id = NULL, client = '', writer = '' WHERE user_id = $1",
         &pending},
        {"DELETE FROM users WHERE id = $1", &users}};
    for (const auto& [sql, changed] : steps) {
      const auto done = db_.run(sql, id);
      if (!done) return done.error();
      *changed = *done;
    }
    if (users == 0) return noSuchUser(id);
    return gone;
  });
}

}  // namespace egalaxyd::postgres
