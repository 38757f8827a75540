#include "worker/expiry_clock.h"

#include <algorithm>
#include <utility>

namespace egalaxyd {
namespace {

/// How far the clocks may drift apart between two looks: a clock is slewed, a machine is slow.
constexpr std::chrono::minutes kStep{1};

}  // namespace

void ExpiryClock::begin(WallTime newestVisit, WallTime wall, Clock::time_point steady) {
  begun_ = Moment{std::min(newestVisit, wall), steady};
  last_ = {wall, steady};
}

std::optional<WallTime> ExpiryClock::look(WallTime wall, Clock::time_point steady) {
  if (!begun_) return std::nullopt;
  const auto before = std::exchange(last_, {wall, steady});
  const auto drift = (wall - before.wall) - (steady - before.steady);
  if (drift > kStep || drift < -kStep) return std::nullopt;
  const auto passed = std::chrono::floor<std::chrono::seconds>(steady - begun_->steady);
  return std::min(wall, begun_->wall + passed);
}

}  // namespace egalaxyd
