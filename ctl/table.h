// Columns for people.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace egalaxyd {

/// Aligned on the left, two spaces between columns, no space at a line's end.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  /// As many cells as the head has.
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// "45s", "3m 20s", "2h 5m", "9d 4h".
std::string durationWords(std::int64_t seconds);

}  // namespace egalaxyd
