// Signals as events of the loop.
#pragma once

#include <array>
#include <csignal>
#include <functional>
#include <initializer_list>

#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Blocks `signals` in this thread (so in every thread made later) and reports each through
/// `onSignal` on the loop. The destructor unblocks nothing: a process has one for its life.
class SignalSource {
 public:
  /// Throws std::system_error when the kernel gives no descriptor.
  SignalSource(EventLoop& loop, std::initializer_list<int> signals,
               std::function<void(int signal)> onSignal);

  /// For a forked child that must close it.
  int fd() const { return fd_.get(); }

 private:
  void onReadable();

  UniqueFd fd_;
  Watch watch_;
  std::function<void(int)> onSignal_;
};

/// A process that is not yet able to obey `signals` does not end by them either: they wait for its
/// SignalSource.
void holdBack(std::initializer_list<int> signals);

/// SIGPIPE, and those by which people and service managers speak to the master (a terminal sends
/// them to all processes).
inline constexpr std::array kIgnoredSignals{SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
/// What a forked worker starts with: an empty signal mask, and kIgnoredSignals ignored.
void resetSignals();

}  // namespace egalaxyd
