// What `certificates` answers.
#pragma once

#include <Poco/JSON/Object.h>

#include "worker/worker.h"

namespace egalaxyd {

/// Those that `plan` serves. The one that ends first comes first, and a long list is cut at its
/// end.
Poco::JSON::Object describeCertificates(const ServingPlan& plan);

}  // namespace egalaxyd
