// Where tests let a worker die in the middle of an upload.
#pragma once

#include <csignal>
#include <cstdlib>
#include <string_view>

namespace egalaxyd {

/// Does nothing but in builds with tests, and there only when the environment's EGALAXYD_CRASH_AT
/// is
/// "<step>" or "<step>:<n>": the process kills itself when it passes `step` for the nth time.
#ifdef EGALAXYD_CRASH_POINTS
inline void crashPoint(std::string_view step) {
  static const char* const wanted = std::getenv("EGALAXYD_CRASH_AT");
  if (wanted == nullptr) return;
  const std::string_view text(wanted);
  const std::string_view name = text.substr(0, text.find(':'));
  if (name != step) return;
  static int left = name.size() < text.size() ? std::atoi(wanted + name.size() + 1) : 1;
  if (--left == 0) std::raise(SIGKILL);
}
#else
inline void crashPoint(std::string_view) {}
#endif

}  // namespace egalaxyd
