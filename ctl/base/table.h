// Columns for people.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

namespace egalaxyd::ctl {

/// Aligned on the left, two spaces between columns, no space at a line's end.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  /// As many cells as the head has. Control characters are not shown.
  void add(std::vector<std::string> row);
  /// The cells of this column are words for a state, to be shown as stateText() does.
  void showStates(std::size_t column) { states_ = column; }
  /// Columns that its widest line takes.
  std::size_t width() const;
  /// In colour: the head is bold, states have theirs.
  void print(std::ostream& out, bool colour = false) const;

 private:
  std::vector<std::size_t> columnWidths() const;

  std::vector<std::vector<std::string>> rows_;
  std::size_t states_ = static_cast<std::size_t>(-1);
};

/// `text` in bold letters, for a terminal, when `colour`.
std::string boldText(const std::string& text, bool colour);
/// Likewise green for a state that is as it should be ("ready"), yellow for one that passes
/// ("draining"), red for one that does not ("killed"), as it is for an unknown one.
std::string stateText(const std::string& state, bool colour);

/// "45s", "3m 20s", "2h 5m", "9d 4h".
std::string durationWords(std::int64_t seconds);

}  // namespace egalaxyd::ctl
