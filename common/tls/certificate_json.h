// A certificate as one JSON object, for egalaxyctl and its users' scripts.
#pragma once

#include <Poco/JSON/Object.h>
#include <openssl/types.h>

namespace egalaxyd {

/// Days before its end from which on a certificate "expires soon".
inline constexpr int kExpiresSoonDays = 30;

/// Subject, names, dates, fingerprints, and in "validity": "valid", "not yet", "expires soon" or
/// "expired".
Poco::JSON::Object describeCertificate(const X509* certificate);

}  // namespace egalaxyd
