#include "ctl/table.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>

namespace egalaxyd {

void Table::print(std::ostream& out) const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += fmt::format("{:<{}}", row[i], widths[i] + 2);
    }
    line.erase(line.find_last_not_of(' ') + 1);
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

}  // namespace egalaxyd
