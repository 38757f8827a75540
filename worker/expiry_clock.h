// Which users have not come for so long that their metadata goes. Pure: both clocks are given.
#pragma once

#include <chrono>
#include <optional>

#include "common/event_loop.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// The wall clock alone would have everybody's metadata deleted when it is ahead, so nothing goes
/// at the first look, nor after a step of that clock. Later looks believe in no more time than has
/// passed since the newest visit that was recorded by the first look, as the steady clock counts.
class MetadataExpiry {
 public:
  explicit MetadataExpiry(std::chrono::milliseconds ttl) : ttl_(ttl) {}

  /// The first look has been made, and there were users.
  bool hasBegun() const { return begun_.has_value(); }
  void begin(WallTime newestVisit, WallTime wall, Clock::time_point steady);
  /// The metadata of users who were last seen before that may go; nullopt: none may now.
  std::optional<WallTime> look(WallTime wall, Clock::time_point steady);

 private:
  struct Moment {
    WallTime wall{};
    Clock::time_point steady{};
  };
  const std::chrono::milliseconds ttl_;
  std::optional<Moment> begun_;  ///< its wall: the newest visit, or the time when that is earlier
  Moment last_;                  ///< look
};

}  // namespace egalaxyd
