// Rows on their way into PostgreSQL, many with each statement.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/postgres/postgres_handle.h"

namespace egalaxyd::postgres {

/// What a statement over all rows may take.
inline constexpr std::chrono::minutes kCopyPatience{60};

/// `text` as PostgreSQL takes it: bytes that are no UTF-8 become question marks.
std::string textFor(std::string_view text);

/// One statement that takes an array for each column.
class CopyBatch {
 public:
  /// `kinds` has a letter for each column: t for text, n for numbers.
  CopyBatch(Connection& db, std::string_view statement, std::string_view kinds);

  /// The cells of a row, one after the other.
  void add(std::string_view text);
  void add(std::int64_t number);
  /// After the last cell of a row: sends what there is when that is much.
  Result<void> endRow();
  Result<void> flush();

 private:
  struct Column {
    bool isText = false;
    std::vector<std::string> texts;
    std::vector<std::int64_t> numbers;
  };
  Connection& db_;
  std::string statement_;
  std::vector<Column> columns_;
  std::size_t next_ = 0;  ///< column
  std::size_t rows_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace egalaxyd::postgres
