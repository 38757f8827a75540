#include "common/loop/signal_source.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

namespace egalaxyd {

SignalSource::SignalSource(EventLoop& loop, std::initializer_list<int> signals,
                           std::function<void(int)> onSignal)
    : watch_(loop, [this](IoEvents) { onReadable(); }), onSignal_(std::move(onSignal)) {
  sigset_t mask;
  sigemptyset(&mask);
  for (const int signal : signals) sigaddset(&mask, signal);
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  fd_.reset(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw std::system_error(errno, std::generic_category(), "signalfd");
  if (const auto started = watch_.start(fd_.get(), WatchMode::kRead); !started) {
    throw std::system_error(ENOMEM, std::generic_category(), started.error().message);
  }
}

void SignalSource::onReadable() {
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof info) == sizeof info) {
    onSignal_(static_cast<int>(info.ssi_signo));
  }
}

void holdBack(std::initializer_list<int> signals) {
  sigset_t held;
  sigemptyset(&held);
  for (const int signal : signals) sigaddset(&held, signal);
  ::pthread_sigmask(SIG_BLOCK, &held, nullptr);
}

void resetSignals() {
  // Set to SIG_IGN before they are unblocked: that discards a signal that is already pending.
  for (const int signal : kIgnoredSignals) std::signal(signal, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace egalaxyd
