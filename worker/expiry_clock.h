// What time it is for sure, before something is deleted because it is old. Pure: both clocks are
// given.
#pragma once

#include <optional>

#include "common/loop/event_loop.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// The wall clock alone would have everybody's data deleted when it is ahead, so nothing goes at
/// the first look, nor after a step of that clock. Later looks believe in no more time than has
/// passed since the newest visit that was recorded by the first look, as the steady clock counts.
class ExpiryClock {
 public:
  /// The first look has been made, and there were users.
  bool hasBegun() const { return begun_.has_value(); }
  void begin(WallTime newestVisit, WallTime wall, Clock::time_point steady);
  /// At least that late it is; nullopt: nobody knows now.
  std::optional<WallTime> look(WallTime wall, Clock::time_point steady);

 private:
  struct Moment {
    WallTime wall{};
    Clock::time_point steady{};
  };
  std::optional<Moment> begun_;  ///< its wall: the newest visit, or the time when that is earlier
  Moment last_;                  ///< look
};

}  // namespace egalaxyd
