// What may come with every request, and must not fill the log.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Logs an error at most once a minute, with the number of errors that were suppressed since.
class RareError {
 public:
  void log(const Error& error);
  /// The same at level warn; what is in `text` of others has been through logQuote().
  void warn(std::string_view text);

 private:
  bool isDue();

  Clock::time_point next_{};
  std::uint64_t silent_ = 0;
};

/// Logs what is no error of ours, and of interest one by one: a few lines a minute, at level info.
class RareNote {
 public:
  static constexpr unsigned kMostNotes = 5;

  /// What is in `text` of others has been through logQuote().
  void log(std::string_view text);

 private:
  Clock::time_point next_{};  ///< when the next minute begins
  unsigned left_ = 0;         ///< lines, in this one
  std::uint64_t silent_ = 0;
};

}  // namespace egalaxyd
