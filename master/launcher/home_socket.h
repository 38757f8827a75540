// The socket of a user's own application: found and looked at before anybody connects to it.
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/shared/launcher_plan.h"
#include "master/launcher/dial.h"

namespace egalaxyd {

/// Of a place that has one for each user. The target is the very socket that was looked at,
/// whatever takes its name meanwhile, and its listener must be the user. Errors: kNotFound (there
/// is no such user or socket, or it belongs to another account), kIo. Waits for the user database
/// and for disks; any thread.
Result<DialTarget> findHomeSocket(const UpstreamPlace& place, const std::string& user);

}  // namespace egalaxyd
