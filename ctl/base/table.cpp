#include "ctl/base/table.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>
#include <utility>

#include "common/base/path.h"
#include "ctl/base/folded_output.h"

namespace egalaxyd::ctl {

namespace {

struct StateColour {
  std::string_view state;
  const char* code;
};
constexpr const char* kGreen = "32";
constexpr const char* kYellow = "33";
constexpr const char* kRed = "31";
constexpr StateColour kStateColours[] = {
    {"ready", kGreen},     {"serving", kGreen},   {"ok", kGreen},       {"up", kGreen},
    {"aside", kRed},       {"starting", kYellow}, {"pausing", kYellow}, {"draining", kYellow},
    {"stopping", kYellow}, {"killed", kRed},      {"ended", kRed},      {"degraded", kRed}};

std::string painted(const std::string& text, std::string_view code) {
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

}  // namespace

std::string boldText(const std::string& text, bool colour) {
  return colour && !text.empty() ? painted(text, "1") : text;
}

std::string stateText(const std::string& state, bool colour) {
  const auto found = std::ranges::find_if(
      kStateColours, [&](const StateColour& each) { return each.state == state; });
  return colour && found != std::end(kStateColours) ? painted(state, found->code) : state;
}

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = printable(cell);
  rows_.push_back(std::move(row));
}

std::vector<std::size_t> Table::columnWidths() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columnsOf(row[i]));
  }
  return widths;
}

std::size_t Table::width() const {
  std::size_t all = 0;
  for (const std::size_t one : columnWidths()) all += one + 2;
  return all - 2;
}

void Table::print(std::ostream& out, bool colour) const {
  const std::vector<std::size_t> widths = columnWidths();
  for (const auto& row : rows_) {
    std::string line;
    std::size_t gap = 0;  // spaces that the next cell, if it is not empty, stands behind
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (!row[i].empty()) {
        line.append(gap, ' ');
        gap = 0;
        line += &row == &rows_.front() ? boldText(row[i], colour)
                                       : stateText(row[i], colour && i == states_);
      }
      gap += widths[i] + 2 - columnsOf(row[i]);
    }
    out << line << '\n';
  }
}

std::string durationWords(std::int64_t seconds) {
  const std::int64_t minutes = seconds / 60;
  const std::int64_t hours = minutes / 60;
  if (minutes == 0) return fmt::format("{}s", seconds);
  if (hours == 0) return fmt::format("{}m {}s", minutes, seconds % 60);
  if (hours < 24) return fmt::format("{}h {}m", hours, minutes % 60);
  return fmt::format("{}d {}h", hours / 24, hours % 24);
}

}  // namespace egalaxyd::ctl
