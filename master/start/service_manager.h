// What systemd wants to know, when it started us. Without NOTIFY_SOCKET nothing happens.
#pragma once

#include <string>

#include "common/loop/event_loop.h"

namespace egalaxyd {

class ServiceManager {
 public:
  /// From here on a watchdog that the unit asks for is fed from `loop`.
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
