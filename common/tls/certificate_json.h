// A certificate as one JSON object, for egalaxyctl and its users' scripts.
#pragma once

#include <Poco/JSON/Object.h>
#include <openssl/types.h>

namespace egalaxyd {

/// Subject, names, dates, fingerprints, and in "validity": "valid", "not yet", "expires soon" or
/// "expired". "soon": kExpiresSoonDays.
Poco::JSON::Object describeCertificate(const X509* certificate);

}  // namespace egalaxyd
