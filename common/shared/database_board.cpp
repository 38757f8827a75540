#include "common/shared/database_board.h"

#include <algorithm>

namespace egalaxyd {

void DatabaseBoard::noteGap(std::int64_t begun, std::int64_t ended) {
  constexpr auto relaxed = std::memory_order_relaxed;
  if (begun > gapEnded_.load(relaxed)) {
    gapBegun_.store(begun, relaxed);
  } else {
    gapBegun_.store(std::min(begun, gapBegun_.load(relaxed)), relaxed);
  }
  gapEnded_.store(std::max(ended, gapEnded_.load(relaxed)), relaxed);
}

DatabaseGap DatabaseBoard::lastGap() const {
  const std::int64_t begun = gapBegun_.load(std::memory_order_relaxed);
  const std::int64_t ended = gapEnded_.load(std::memory_order_relaxed);
  if (begun <= 0 || ended < begun) return {};
  return {begun, std::chrono::milliseconds(ended - begun)};
}

}  // namespace egalaxyd
