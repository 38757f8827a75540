// What `certificates` answers.
#pragma once

#include <Poco/JSON/Array.h>
#include <Poco/JSON/Object.h>

#include <string>

#include "common/config/config.h"
#include "worker/worker.h"

namespace egalaxyd {

/// Those that `plan` serves. The one that ends first comes first, and a long list is cut at its
/// end.
Poco::JSON::Object describeCertificates(const ServingPlan& plan);
/// [{"host":"example.org","not_after":1790000000}, ...]: when the certificate of each host ends. Of
/// many hosts those whose certificate ends first.
Poco::JSON::Array describeCertificateEnds(const ServingPlan& plan);

/// {"ok":true,"host":...,"names":[...],"state":FOLDER}: placeToInstall(). A refusal has
/// "unknown_host", which is true when no site serves `host`.
Poco::JSON::Object describeInstallPlace(const Config& config, const std::string& host);

}  // namespace egalaxyd
