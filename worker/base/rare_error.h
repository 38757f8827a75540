// Errors that may come with every request, and must not fill the log.
#pragma once

#include <cstdint>

#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Logs an error at most once a minute, with the number of errors that were suppressed since.
class RareError {
 public:
  void log(const Error& error);

 private:
  Clock::time_point next_{};
  std::uint64_t silent_ = 0;
};

}  // namespace egalaxyd
