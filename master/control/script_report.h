// What the launchers say that runs, as an answer of the control socket. Pure.
#pragma once

#include <Poco/JSON/Object.h>

#include <sys/types.h>

#include "master/supervise/launcher_keeper.h"

namespace egalaxyd {

/// The oldest first, behind them those that wait for a place.
Poco::JSON::Object describeScripts(LaunchersAnswer answer);
/// Whether the script of that process is being stopped.
Poco::JSON::Object describeStopped(pid_t pid, const LaunchersAnswer& answer);

}  // namespace egalaxyd
