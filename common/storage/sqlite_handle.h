// SQLite's C interface behind two owners: a connection, and a prepared statement on loan.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace egalaxyd {

struct CloseSqlite {
  void operator()(sqlite3* connection) const;
};
struct FinalizeSqlite {
  void operator()(sqlite3_stmt* statement) const;
};

/// One open database. One thread at a time, and never across a fork. Not movable while statements
/// are on loan.
class SqliteConnection {
 public:
  /// Opens a file that exists; one that may only be read is opened for that. A lock is waited for
  /// up to `busyTimeout`.
  static Result<SqliteConnection> open(const std::filesystem::path& file,
                                       std::chrono::milliseconds busyTimeout);

  /// Runs a statement to its end; rows are dropped.
  template <class... Values>
  Result<void> run(std::string_view sql, const Values&... values);
  /// Runs several statements, none of which takes values.
  Result<void> runScript(const char* sql);
  /// All of it, as it is at this moment, into `target`, an empty database (SQLite's backup
  /// interface): one read of a snapshot, which holds up no writer.
  Result<void> copyInto(SqliteConnection& target);

  /// Rows that the last statement changed.
  std::uint64_t changes() const;
  std::int64_t lastRowId() const;
  /// Whether a transaction is open. Some failures, such as a full disk, end it by themselves.
  bool inTransaction() const;

  /// The last failure, until clearTrouble().
  const std::optional<Error>& trouble() const { return trouble_; }
  void clearTrouble() { trouble_.reset(); }

 private:
  friend class SqliteQuery;
  SqliteConnection() = default;
  sqlite3_stmt* prepare(std::string_view sql);  ///< from the cache; null when it fails
  Error fail();                                 ///< the failure that has just happened

  std::string file_;
  std::unique_ptr<std::chrono::milliseconds> patience_;  ///< the busy handler's
  std::unique_ptr<sqlite3, CloseSqlite> connection_;
  std::map<std::string, std::unique_ptr<sqlite3_stmt, FinalizeSqlite>, std::less<>> statements_;
  std::optional<Error> trouble_;
};

/// A statement under way; gives it back, and what it locked, when it goes. The connection must
/// outlive it, and the same statement cannot be on loan twice.
///
///   SqliteQuery query(db, "SELECT name FROM t WHERE id = ?", id);
///   while (query.next()) use(query.text(0));
///   if (query.failed()) return query.error();
class SqliteQuery {
 public:
  SqliteQuery(SqliteConnection& connection, std::string_view sql);
  /// Binds `values` in order: integers and text, which must live as long as the query.
  template <class... Values>
  SqliteQuery(SqliteConnection& connection, std::string_view sql, const Values&... values)
      : SqliteQuery(connection, sql) {
    int index = 0;
    (bind(++index, values), ...);
  }
  ~SqliteQuery();
  SqliteQuery(const SqliteQuery&) = delete;
  SqliteQuery& operator=(const SqliteQuery&) = delete;

  /// Bytes instead of text.
  void bindBlob(int index, std::string_view bytes);
  void bind(int index, std::string_view text);
  void bind(int index, std::int64_t number);

  /// Steps to the next row; false at the end and at a failure.
  bool next();
  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }

  /// Of the row, counted from 0. Text and bytes are valid until next(); NULL is "" and 0.
  std::string_view text(int column) const;
  std::int64_t integer(int column) const;

 private:
  void check(int code);

  SqliteConnection& connection_;
  sqlite3_stmt* statement_;
  std::optional<Error> error_;
};

template <class... Values>
Result<void> SqliteConnection::run(std::string_view sql, const Values&... values) {
  SqliteQuery query(*this, sql, values...);
  while (query.next()) {
  }
  if (query.failed()) return query.error();
  return {};
}

}  // namespace egalaxyd
