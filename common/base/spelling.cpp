#include "common/base/spelling.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/ascii.h"

namespace egalaxyd {

std::size_t editDistance(std::string_view a, std::string_view b) {
  // Three rows of the usual table: a swap looks two rows back.
  std::array<std::vector<std::size_t>, 3> rows;
  for (auto& row : rows) row.resize(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& twoAbove = rows[(i + 1) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], twoAbove[j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

std::vector<std::string> nearNames(std::string_view word, const std::vector<std::string>& known) {
  const std::string lower = lowerCase(word);
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const std::string& name : known) {
    const std::string candidate = lowerCase(name);
    const std::size_t distance = editDistance(lower, candidate);
    const std::size_t allowed =
        std::max<std::size_t>(1, std::max(lower.size(), candidate.size()) / 3);
    const bool begins = lower.size() >= 2 && candidate.starts_with(lower);
    if (distance <= allowed || begins) near.emplace_back(distance, name);
  }
  std::ranges::stable_sort(near, [](const auto& x, const auto& y) { return x.first < y.first; });
  std::vector<std::string> names;
  for (auto& [distance, name] : near) names.push_back(std::move(name));
  return names;
}

}  // namespace egalaxyd
