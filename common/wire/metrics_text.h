// The statistics as Prometheus reads them (text format 0.0.4).
#pragma once

#include <Poco/JSON/Object.h>

#include <string>

namespace egalaxyd {

/// Of what `stats` answers. Throws Poco::Exception where that is something else.
std::string metricsText(const Poco::JSON::Object& statistics);

}  // namespace egalaxyd
