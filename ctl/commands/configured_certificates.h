// The certificates of the configuration, where no server runs that could tell its own.
#pragma once

#include <Poco/JSON/Object.h>

#include "common/config/config.h"

namespace egalaxyd::ctl {

/// What a server that starts with `config` now would tell: a row per certificate, those that
/// end first before the others. One that cannot be read, or was not made yet, comes last and has an
/// "error" instead of what is in it.
Poco::JSON::Object configuredCertificates(const Config& config);

}  // namespace egalaxyd::ctl
