// What a script writes to its standard error: lines of the log.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"

namespace egalaxyd {

/// At most 8 KiB of a run are logged, at level info; the rest is counted. Never to the client.
/// Loop thread only.
class ScriptErrors {
 public:
  /// `name`: of the script, as log lines have it.
  explicit ScriptErrors(std::string name) : name_(std::move(name)) {}

  void add(std::string_view bytes);
  /// Logs what has no end of line, and how much was left out.
  void finish();

 private:
  void log(std::string_view line);

  const std::string name_;
  std::string line_;
  std::uint64_t logged_ = 0;
  std::uint64_t leftOut_ = 0;
};

/// The same of the pipe that is a script's standard error.
class ScriptErrorPipe {
 public:
  ScriptErrorPipe(EventLoop& loop, UniqueFd pipe, std::string name);
  ~ScriptErrorPipe();
  ScriptErrorPipe(const ScriptErrorPipe&) = delete;
  ScriptErrorPipe& operator=(const ScriptErrorPipe&) = delete;

  /// Reads what is there.
  void read();

 private:
  ScriptErrors errors_;
  UniqueFd pipe_;
  Watch watch_;
};

}  // namespace egalaxyd
