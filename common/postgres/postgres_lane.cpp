#include "common/postgres/postgres_lane.h"

#include <poll.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "common/base/random_number.h"

namespace egalaxyd::postgres {
namespace {

constexpr std::string_view kSavepoint = "SAVEPOINT inner_one";

/// A row of `lanes` that has not been written to for so long may be gone.
constexpr std::chrono::hours kRowStays{24 * 20};

/// Between two tries to reach the database, in milliseconds.
constexpr int kPauseMs = 100;

/// FNV-1a: two keys of one value wait for each other without need, nothing worse.
std::int64_t hashed(std::string_view key) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return static_cast<std::int64_t>(hash);
}

/// In the one order in which everybody takes them.
std::string lockArray(const StorageKeys& keys) {
  std::vector<std::int64_t> numbers;
  for (const std::string& key : keys) numbers.push_back(hashed(key));
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return arrayOf(numbers);
}

Error regression() {
  return {ErrorCode::kIo,
          "the database has forgotten what it had acknowledged: an old primary came back, or a "
          "backup was restored; nothing is written until egalaxyd is restarted"};
}

}  // namespace

/// Two processes may have one slot for a while, the old worker and the new one.
Lane::Lane(Connector connector, const DatabaseAccess& access, std::string slot,
           DatabaseSight& sight)
    : connector_(std::move(connector)),
      patience_(access.patience),
      slot_(std::move(slot)),
      name_(fmt::format("{}/{:016x}", slot_, randomNumber())),
      sight_(sight) {}

Result<std::unique_ptr<Lane>> Lane::open(const DatabaseAccess& access, std::string_view name,
                                         DatabaseSight& sight) {
  auto connector = Connector::make(access, sight);
  if (!connector) return connector.error();
  std::unique_ptr<Lane> lane(
      new Lane(std::move(*connector), access, fmt::format("{}/{}", access.host, name), sight));
  if (auto connected = lane->connect(); !connected) return connected.error();
  static_cast<void>(lane->connection_->run(
      "DELETE FROM lanes WHERE lane IN (SELECT lane FROM lanes WHERE seen < now() - interval '30 "
      "days' FOR UPDATE SKIP LOCKED)"));
  lane->connection_->clearTrouble();
  return lane;
}

Result<void> Lane::begin(Access access, const StorageKeys& keys) {
  if (depth_ == 0) return beginOutermost(access, keys, access == Access::kWrite);
  if (const auto error = lost()) return *error;
  if (access_ == Access::kRead && access == Access::kWrite) {
    return Error{ErrorCode::kInvalid, "a write within a transaction that only reads"};
  }
  connection_->later(kSavepoint);
  ++depth_;
  return {};
}

Result<void> Lane::beginCheap() {
  if (depth_ > 0) return begin(Access::kWrite, {});
  return beginOutermost(Access::kWrite, {}, false);
}

Result<void> Lane::beginOutermost(Access access, const StorageKeys& keys, bool marked) {
  trouble_.reset();
  if (access == Access::kWrite && sight_.regressed()) return note(regression());
  // A connection that was lost while nobody used it is noticed here.
  for (int tries = 0;; ++tries) {
    if (auto ready = beReady(); !ready) return ready;
    const auto begun = tryBegin(access, keys, marked);
    if (begun) break;
    const bool isInTheWay = !connection_->broke() && begun.error().code == ErrorCode::kAgain;
    if (isInTheWay) {
      static_cast<void>(connection_->query("ROLLBACK"));
    } else {
      connection_.reset();
    }
    if (isInTheWay || tries > 0) return note(begun.error());
  }
  depth_ = 1;
  access_ = access;
  hasMark_ = marked;
  return {};
}

Result<void> Lane::tryBegin(Access access, const StorageKeys& keys, bool marked) {
  connection_->clearTrouble();
  Result<Rows> begun = Rows();
  if (access == Access::kRead) {
    begun = connection_->query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  } else if (!marked) {
    connection_->later("BEGIN");
    begun = connection_->query("SET LOCAL synchronous_commit = off");
  } else {
    connection_->later("BEGIN");
    const std::string locks = lockArray(keys);
    begun = connection_->query(
        "SELECT mark($1, $2, $3) FROM "
        "(SELECT count(pg_advisory_xact_lock(key)) FROM unnest($4) AS key) AS locks",
        name_, known_.epoch, known_.number + 1, Value::ofNumbers(locks));
  }
  return begun ? Result<void>() : begun.error();
}

Result<void> Lane::commit() {
  if (const auto error = lost()) {
    rollback();
    return *error;
  }
  if (depth_ == 1) return commitOutermost();
  if (!connection_->takeBack(kSavepoint)) connection_->later("RELEASE inner_one");
  --depth_;
  return {};
}

Result<void> Lane::commitOutermost() {
  const auto begun = std::chrono::steady_clock::now();
  connection_->clearWarning();
  const Result<Rows> answer = connection_->query("COMMIT");
  depth_ = 0;
  if (access_ == Access::kRead || !hasMark_) {
    // What is cheap may be lost.
    if (connection_->broke()) connection_.reset();
    return answer || access_ == Access::kWrite ? Result<void>() : note(answer.error());
  }
  // A wait for the standby that was cut short is told of by a warning alone.
  if (connection_->broke() || connection_->warned()) return resolve();
  if (answer && answer->tag() == "COMMIT") {
    ++known_.number;
    marked_ = std::chrono::steady_clock::now();
    sight_.committed(marked_ - begun);
    return {};
  }
  if (connection_->inTransaction()) static_cast<void>(connection_->query("ROLLBACK"));
  if (!answer) return note(answer.error());
  return note({ErrorCode::kAgain, "the database took the transaction back"});
}

/// Whether a commit without an answer has happened: asks until somebody can tell.
Result<void> Lane::resolve() {
  const auto deadline = std::chrono::steady_clock::now() + patience_;
  std::string why = connection_->trouble() ? connection_->trouble()->message : "no answer";
  connection_.reset();
  for (;;) {
    const auto connected = connect();
    if (connected && verdict_ == MarkVerdict::kHappened) {
      sight_.happened(DatabaseEvent::kFoundCommitted);
      trouble_.reset();
      return {};
    }
    if (connected) {
      sight_.happened(DatabaseEvent::kRepeated);
      return note({ErrorCode::kAgain, "a commit was not answered, and has not happened: " + why});
    }
    if (sight_.regressed()) return connected;
    if (std::chrono::steady_clock::now() >= deadline) break;
    ::poll(nullptr, 0, kPauseMs);
  }
  sight_.happened(DatabaseEvent::kUnknown);
  return note({ErrorCode::kUnknown, "a commit was not answered, and it may have happened: " + why});
}

Result<bool> Lane::tryKey(std::string_view key) {
  const auto rows = query("SELECT pg_try_advisory_xact_lock($1)", hashed(key));
  if (!rows) return rows.error();
  return !rows->empty() && rows->integer(0, 0) != 0;
}

Result<void> Lane::look() {
  trouble_.reset();
  if (sight_.regressed()) return note(regression());
  auto looked = lookOnce();
  // A connection that was lost while nobody used it is noticed here.
  if (!looked && connection_ && connection_->broke()) looked = lookOnce();
  if (looked || looked.error().code != ErrorCode::kAgain) return looked;
  return note({ErrorCode::kBusy, looked.error().message});
}

Result<void> Lane::lookOnce() {
  if (auto ready = beReady(); !ready) return ready;
  const auto row = connection_->query("SELECT epoch, number FROM lanes WHERE lane = $1", name_);
  if (!row) return row.error();
  const bool isGone = row->empty();
  const bool mayBeGone = std::chrono::steady_clock::now() - marked_ > kRowStays;
  if (isGone ? mayBeGone
             : row->integer(0, 0) >= known_.epoch && row->integer(0, 1) >= known_.number) {
    return {};
  }
  return note(forgotten());
}

void Lane::rollback() {
  --depth_;
  const bool isLost = lost().has_value();
  if (depth_ > 0) {
    if (isLost || connection_->takeBack(kSavepoint)) return;
    connection_->later("ROLLBACK TO inner_one");
    connection_->later("RELEASE inner_one");
    return;
  }
  if (!connection_) return;
  if (!connection_->broke()) {
    connection_->forgetLater();
    const auto trouble = connection_->trouble();
    static_cast<void>(connection_->query("ROLLBACK"));
    if (!trouble_) trouble_ = trouble;
  }
  if (connection_->broke()) {
    if (!trouble_) trouble_ = connection_->trouble();
    connection_.reset();
  }
}

std::optional<Error> Lane::trouble() const {
  if (trouble_) return trouble_;
  return connection_ ? connection_->trouble() : std::nullopt;
}

Error Lane::again(std::string_view why) {
  trouble_ = Error{ErrorCode::kAgain, std::string(why)};
  return *trouble_;
}

/// Why the outermost transaction cannot be committed any more.
std::optional<Error> Lane::lost() const {
  if (trouble_ && trouble_->code == ErrorCode::kAgain) return trouble_;
  if (!connection_) return Error{ErrorCode::kAgain, "the connection to the database is gone"};
  const std::optional<Error>& trouble = connection_->trouble();
  const bool gone = connection_->broke() || connection_->failedBefore() ||
                    (trouble && trouble->code == ErrorCode::kAgain);
  return gone ? trouble : std::nullopt;
}

/// Within a transaction the connection stays as it is, whatever has become of it.
Result<void> Lane::beReady() {
  if (depth_ > 0) {
    const auto error = lost();
    return error ? Result<void>(*error) : Result<void>();
  }
  if (connection_ && (connection_->broke() || connector_.isOutdated())) connection_.reset();
  if (connection_) return {};
  const auto connected = connect();
  if (connected) sight_.happened(DatabaseEvent::kReconnected);
  return connected;
}

Result<void> Lane::connect() {
  verdict_.reset();
  Result<Connection> connection = connector_.connect();
  if (!connection) return note(connection.error());
  connection_ = std::move(*connection);
  const auto found = fence();
  const Result<void> taken = found ? take(*found) : Result<void>(found.error());
  if (taken) return {};
  connection_.reset();
  return note(taken.error());
}

/// Waits for what this lane had under way, or shuts it out. Its own commit waits for the standby,
/// so a primary that was cut off from it cannot answer.
Result<LaneMark> Lane::fence() {
  Connection& db = *connection_;
  // For all of the connection's time: one that waits longer would be served although its host is
  // frozen, and hold what others want for as long again.
  db.later("SET lock_timeout = '1s'");
  db.later("BEGIN");
  const auto row = db.query("SELECT epoch, number FROM fence($1)", name_);
  if (!row)
    return Error{row.error().code == ErrorCode::kInvalid ? ErrorCode::kInvalid : ErrorCode::kBusy,
                 row.error().message};
  if (row->empty()) return Error{ErrorCode::kBusy, "the database does not know this connection"};
  const LaneMark found{row->integer(0, 0), row->integer(0, 1)};
  db.clearWarning();
  const auto committed = db.query("COMMIT");
  if (!committed) return Error{ErrorCode::kBusy, committed.error().message};
  if (db.warned()) return Error{ErrorCode::kBusy, db.server() + ": its standby does not answer"};
  return found;
}

Result<void> Lane::take(const LaneMark& found) {
  const bool expired = found.epoch == 1 && std::chrono::steady_clock::now() - marked_ > kRowStays;
  verdict_ = expired ? MarkVerdict::kDidNot : judge(known_, found);
  if (verdict_ == MarkVerdict::kForgotten) return forgotten();
  known_ = found;
  return {};
}

/// All of this host stops to write.
Error Lane::forgotten() {
  sight_.regress();
  sight_.happened(DatabaseEvent::kRegressed);
  return regression();
}

Result<void> Lane::note(Error error) {
  trouble_ = error;
  return error;
}

}  // namespace egalaxyd::postgres
