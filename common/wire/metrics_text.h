// The statistics as Prometheus reads them (text format 0.0.4).
#pragma once

#include <Poco/JSON/Object.h>

#include <functional>
#include <string>

namespace egalaxyd {

/// Every protocol's `member` object, e.g. what "answers" holds of "gemini". Throws as below.
void forEachProtocol(const Poco::JSON::Object& statistics, const std::string& member,
                     const std::function<void(const std::string& protocol,
                                              const Poco::JSON::Object& values)>& visit);

/// Of what `stats` answers. Throws Poco::Exception where that is something else.
std::string metricsText(const Poco::JSON::Object& statistics);

}  // namespace egalaxyd
