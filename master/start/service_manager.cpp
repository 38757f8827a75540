#include "master/start/service_manager.h"

#include <spdlog/fmt/fmt.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <cstdint>

namespace egalaxyd {
namespace {

using std::chrono::microseconds;

void notify(const std::string& state) { ::sd_notify(/*unset_environment=*/0, state.c_str()); }

}  // namespace

ServiceManager::ServiceManager(EventLoop& loop) : watchdog_(loop, [this] { feedWatchdog(); }) {
  std::uint64_t timeout = 0;
  if (::sd_watchdog_enabled(/*unset_environment=*/0, &timeout) <= 0) return;
  interval_ = microseconds(timeout / 2);
  feedWatchdog();
}

void ServiceManager::ready(const std::string& status) { notify("READY=1\nSTATUS=" + status); }

void ServiceManager::reloading() {
  const auto monotonic = std::chrono::duration_cast<microseconds>(
      std::chrono::steady_clock::now().time_since_epoch());  // CLOCK_MONOTONIC on Linux
  notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reloading", monotonic.count()));
}

void ServiceManager::stopping(const std::string& status) { notify("STOPPING=1\nSTATUS=" + status); }

void ServiceManager::feedWatchdog() {
  notify("WATCHDOG=1");
  watchdog_.setAfter(interval_);
}

}  // namespace egalaxyd
