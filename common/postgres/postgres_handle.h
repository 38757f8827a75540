// libpq behind two owners: a connection in pipeline mode, and the rows of an answer. Every wait has
// a deadline of ours: neither TCP nor the server notices a machine that is frozen.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/result.h"

struct pg_conn;
struct pg_result;

namespace egalaxyd::postgres {

/// How long an answer may take.
inline constexpr std::chrono::milliseconds kAnswerPatience{5000};

/// What a statement is given. Text and bytes must live as long as the call.
class Value {
 public:
  Value(std::string_view text) : kind_(Kind::kText), bytes_(text) {}
  Value(const std::string& text) : Value(std::string_view(text)) {}
  Value(const char* text) : Value(std::string_view(text)) {}
  Value(std::int64_t number) : kind_(Kind::kNumber), number_(number) {}
  /// NULL for nullopt.
  Value(std::optional<std::int64_t> number)
      : kind_(number ? Kind::kNumber : Kind::kNull), number_(number.value_or(0)) {}
  Value(bool flag) : kind_(Kind::kFlag), number_(flag) {}
  static Value ofBytes(std::string_view bytes) {
    Value value(bytes);
    value.kind_ = Kind::kBytes;
    return value;
  }
  /// As arrayOf() writes them.
  static Value ofNumbers(const std::string& array) {
    Value value(array);
    value.kind_ = Kind::kNumbers;
    return value;
  }
  static Value ofTexts(const std::string& array) {
    Value value(array);
    value.kind_ = Kind::kTexts;
    return value;
  }

  unsigned type() const;  ///< the number that PostgreSQL gives to it
  bool isNull() const { return kind_ == Kind::kNull; }
  /// Whether PostgreSQL can take it: text is UTF-8 without zero bytes.
  bool isValid() const;
  /// In PostgreSQL's binary format, arrays in its text format.
  std::string_view encode(std::string& room) const;
  bool isArray() const { return kind_ == Kind::kNumbers || kind_ == Kind::kTexts; }

 private:
  enum class Kind { kText, kBytes, kNumber, kNull, kFlag, kNumbers, kTexts };
  Kind kind_;
  std::int64_t number_ = 0;
  std::string_view bytes_;
};

/// A value that is sent later.
using Kept = std::variant<std::int64_t, std::string>;

std::string arrayOf(const std::vector<std::int64_t>& numbers);
std::string arrayOf(const std::vector<std::string>& texts);

struct ClearResult {
  void operator()(pg_result* result) const;
};

/// The rows of an answer; NULL is "" and 0.
class Rows {
 public:
  Rows() = default;
  explicit Rows(std::unique_ptr<pg_result, ClearResult> result) : result_(std::move(result)) {}
  int size() const;
  bool empty() const { return size() == 0; }
  bool isNull(int row, int column) const;
  std::string_view text(int row, int column) const;
  /// A smallint, integer, bigint, boolean or xid8.
  std::int64_t integer(int row, int column) const;
  /// Rows that the statement changed.
  std::uint64_t changed() const;
  /// "COMMIT", "UPDATE 1" and so on.
  std::string_view tag() const;

 private:
  std::unique_ptr<pg_result, ClearResult> result_;
};

struct CloseConnection {
  void operator()(pg_conn* connection) const;
};

/// An open connection. One thread at a time, never across a fork. Statements with values are
/// prepared once. After a failure that broke() it only waits to be closed.
class Connection {
 public:
  /// What libpq calls keywords. Blocks, at most two seconds.
  static Result<Connection> open(const std::map<std::string, std::string>& keywords);

  template <class... Values>
  Result<Rows> query(std::string_view sql, const Values&... values) {
    const std::vector<Value> all{Value(values)...};
    return ask(sql, all, kAnswerPatience);
  }
  /// Rows that it changed.
  template <class... Values>
  Result<std::uint64_t> run(std::string_view sql, const Values&... values) {
    const auto rows = query(sql, values...);
    if (!rows) return rows.error();
    return rows->changed();
  }
  /// Goes with the next statement. Its failure is that statement's, and failedBefore(). Texts are
  /// such as the database has taken before.
  void later(std::string_view sql, std::vector<Kept> values = {}) {
    waiting_.push_back({std::string(sql), std::move(values)});
  }
  /// Takes back the last later() where it was `sql` and has not gone yet.
  bool takeBack(std::string_view sql);
  void forgetLater() { waiting_.clear(); }

  Result<Rows> ask(std::string_view sql, std::span<const Value> values,
                   std::chrono::milliseconds patience);
  /// Several statements without values, in a trip of their own.
  Result<void> runScript(const char* sql);

  /// Waits until the server tells of something, `most` is over, or `wakeFd` can be read; whether it
  /// told.
  Result<bool> waitForNotification(std::chrono::milliseconds most, int wakeFd);

  bool broke() const { return broke_; }
  /// Whether a statement before the last one was what failed.
  bool failedBefore() const { return failedBefore_; }
  /// Whether the server has complained since clearWarning(), although it did what it was asked.
  bool warned() const { return *warned_; }
  void clearWarning() { *warned_ = false; }
  bool inTransaction() const;

  int backend() const;  ///< the server's process, as it said when the connection was made
  std::string serverVersion() const;
  std::string server() const;  ///< "host:port", or the socket's folder

  /// The last failure, until clearTrouble().
  const std::optional<Error>& trouble() const { return trouble_; }
  void clearTrouble() { trouble_.reset(); }

 private:
  struct Waiting {
    std::string sql;
    std::vector<Kept> values;
  };
  /// What one of the answers belongs to.
  struct Sent {
    std::string prepared;  ///< the statement, where that was only prepared
    bool last = false;     ///< of the statement whose rows are wanted
  };
  Connection() = default;
  bool send(std::string_view sql, std::span<const Value> values, bool last);
  bool prepare(std::string_view sql, std::span<const Value> values, bool last, std::string& name);
  Result<Rows> receive(std::chrono::steady_clock::time_point deadline, std::string_view ifLate);
  bool waitForAnswer(std::chrono::steady_clock::time_point deadline);
  Error fail(const pg_result* result);
  Error lost(std::string_view why);

  std::unique_ptr<pg_conn, CloseConnection> connection_;
  std::unique_ptr<bool> warned_;
  std::map<std::string, std::string, std::less<>> prepared_;  ///< names by statement
  std::vector<Waiting> waiting_;
  std::deque<Sent> sent_;
  std::optional<Error> trouble_;
  bool broke_ = false;
  bool failedBefore_ = false;
};

}  // namespace egalaxyd::postgres
