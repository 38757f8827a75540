// A lower bound of the current time, by which old data is deleted. Pure: gets both clocks' times.
#pragma once

#include <optional>

#include "common/loop/event_loop.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// If the wall clock is ahead, it alone would have everybody's data deleted. So nothing expires at
/// the first look, nor after a step of that clock. Later looks start from the newest visit that was
/// recorded by the first look, and add only the time that the steady clock has counted since.
class ExpiryClock {
 public:
  /// begin() was called: there are users.
  bool hasBegun() const { return begun_.has_value(); }
  void begin(WallTime newestVisit, WallTime wall, Clock::time_point steady);
  /// A lower bound of the current time; nullopt before begin(), and after a step of the wall clock.
  std::optional<WallTime> look(WallTime wall, Clock::time_point steady);

 private:
  struct Moment {
    WallTime wall{};
    Clock::time_point steady{};
  };
  std::optional<Moment> begun_;  ///< its wall: the newest visit, or that time if it is earlier
  Moment last_;                  ///< the last look
};

}  // namespace egalaxyd
