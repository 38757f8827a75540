#include "common/storage/sqlite_handle.h"

#include <spdlog/fmt/fmt.h>
#include <sqlite3.h>

#include <cstring>
#include <thread>

namespace egalaxyd {
namespace {

struct Meaning {
  ErrorCode code;
  const char* words;
};

Meaning meaningOf(int sqliteCode) {
  switch (sqliteCode & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::kBusy, "another process holds the lock; try again, or end that process"};
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return {ErrorCode::kNoSpace, "no space left; free some"};
    case SQLITE_READONLY:
      return {ErrorCode::kPermission,
              "it may only be read; check who may write the file and its folder"};
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {ErrorCode::kPermission, "check that the file is there and who may open it"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::kIo,
              "the file is damaged or no database; restore it from a backup or move it away"};
    default:
      return {ErrorCode::kIo, "the database cannot be used"};
  }
}

Error errorOf(const std::string& file, sqlite3* connection) {
  const int code = sqlite3_extended_errcode(connection);
  const int errnoValue = sqlite3_system_errno(connection);
  const bool system = (code & 0xFF) == SQLITE_CANTOPEN || (code & 0xFF) == SQLITE_IOERR;
  const Meaning meaning = meaningOf(code);
  return {meaning.code,
          fmt::format("{}: {} ({}{}{})", file, meaning.words, sqlite3_errmsg(connection),
                      system && errnoValue != 0 ? ": " : "",
                      system && errnoValue != 0 ? std::strerror(errnoValue) : "")};
}

/// How often a lock that is waited for is tried. SQLite's own busy handler soon sleeps for 25 ms
/// and more at a time, many times as long as a group of writes takes.
constexpr std::chrono::microseconds kLook{500};

/// SQLite's busy handler: whether to look again. `looks` counts those of this wait.
int waitForLock(void* patience, int looks) {
  if (looks * kLook >= *static_cast<std::chrono::milliseconds*>(patience)) return 0;
  std::this_thread::sleep_for(kLook);
  return 1;
}

}  // namespace

void CloseSqlite::operator()(sqlite3* connection) const { sqlite3_close(connection); }
void FinalizeSqlite::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Result<SqliteConnection> SqliteConnection::open(const std::filesystem::path& file,
                                                std::chrono::milliseconds busyTimeout) {
  SqliteConnection result;
  result.file_ = file.string();
  sqlite3* connection = nullptr;
  const int opened = sqlite3_open_v2(result.file_.c_str(), &connection,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  result.connection_.reset(connection);
  if (connection == nullptr) return Error{ErrorCode::kNoSpace, result.file_ + ": no memory left"};
  if (opened != SQLITE_OK) return result.fail();
  sqlite3_extended_result_codes(connection, 1);
  result.patience_ = std::make_unique<std::chrono::milliseconds>(busyTimeout);
  sqlite3_busy_handler(connection, waitForLock, result.patience_.get());
  return result;
}

Result<void> SqliteConnection::runScript(const char* sql) {
  if (sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return fail();
  return {};
}

/// All pages in one step: a copy in several would begin anew with each write of another connection.
Result<void> SqliteConnection::copyInto(SqliteConnection& target) {
  sqlite3_backup* copy =
      sqlite3_backup_init(target.connection_.get(), "main", connection_.get(), "main");
  if (copy == nullptr) return target.fail();
  sqlite3_backup_step(copy, -1);
  return sqlite3_backup_finish(copy) == SQLITE_OK ? Result<void>() : target.fail();
}

std::uint64_t SqliteConnection::changes() const {
  return static_cast<std::uint64_t>(sqlite3_changes64(connection_.get()));
}

std::int64_t SqliteConnection::lastRowId() const {
  return sqlite3_last_insert_rowid(connection_.get());
}

bool SqliteConnection::inTransaction() const {
  return sqlite3_get_autocommit(connection_.get()) == 0;
}

sqlite3_stmt* SqliteConnection::prepare(std::string_view sql) {
  if (const auto known = statements_.find(sql); known != statements_.end()) {
    return known->second.get();
  }
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return nullptr;
  }
  statements_.emplace(std::string(sql), statement);
  return statement;
}

Error SqliteConnection::fail() {
  trouble_ = errorOf(file_, connection_.get());
  return *trouble_;
}

SqliteQuery::SqliteQuery(SqliteConnection& connection, std::string_view sql)
    : connection_(connection), statement_(connection.prepare(sql)) {
  if (statement_ == nullptr) error_ = connection_.fail();
}

SqliteQuery::~SqliteQuery() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void SqliteQuery::bind(int index, std::string_view text) {
  if (failed()) return;
  // A null pointer would bind NULL.
  check(sqlite3_bind_text64(statement_, index, text.empty() ? "" : text.data(), text.size(),
                            SQLITE_STATIC, SQLITE_UTF8));
}

void SqliteQuery::bind(int index, std::int64_t number) {
  if (!failed()) check(sqlite3_bind_int64(statement_, index, number));
}

void SqliteQuery::bindBlob(int index, std::string_view bytes) {
  if (failed()) return;
  check(sqlite3_bind_blob64(statement_, index, bytes.empty() ? "" : bytes.data(), bytes.size(),
                            SQLITE_STATIC));
}

bool SqliteQuery::next() {
  if (failed()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) error_ = connection_.fail();
  return false;
}

void SqliteQuery::check(int code) {
  if (code != SQLITE_OK) error_ = connection_.fail();
}

std::string_view SqliteQuery::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::int64_t SqliteQuery::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

}  // namespace egalaxyd
