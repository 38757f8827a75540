// sd_notify: tells systemd about readiness, reloads and stops. Without NOTIFY_SOCKET it does
// nothing.
#pragma once

#include <string>

#include "common/loop/event_loop.h"

namespace egalaxyd {

class ServiceManager {
 public:
  /// From now on the watchdog (WatchdogSec=) is fed from `loop`, so a loop that hangs is noticed.
  explicit ServiceManager(EventLoop& loop);

  /// Serving; after the start, and after each reload whatever came of it.
  void ready(const std::string& status);
  void reloading();
  void stopping(const std::string& status);

 private:
  void feedWatchdog();

  Timer watchdog_;
  Clock::duration interval_{};
};

}  // namespace egalaxyd
