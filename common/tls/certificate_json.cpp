#include "common/tls/certificate_json.h"

#include <Poco/JSON/Array.h>

#include <chrono>

#include "common/tls/certificate_advice.h"
#include "common/tls/certificate_names.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {
namespace {

const char* validityOf(const X509* certificate) {
  const auto now = std::chrono::system_clock::now();
  if (now < certificateNotBefore(certificate)) return "not yet";
  if (now > certificateNotAfter(certificate)) return "expired";
  const auto left = certificateNotAfter(certificate) - now;
  return left < std::chrono::days(kExpiresSoonDays) ? "expires soon" : "valid";
}

}  // namespace

Poco::JSON::Object describeCertificate(const X509* certificate) {
  Poco::JSON::Array names;
  for (const std::string& name : certificateNames(certificate)) names.add(name);
  auto object = jsonObject();
  object.set("subject", certificateSubject(certificate));
  object.set("names", names);
  object.set("not_before", certificateNotBeforeText(certificate));
  object.set("not_after", certificateNotAfterText(certificate));
  object.set("validity", std::string(validityOf(certificate)));
  object.set("sha256", certificateFingerprint(certificate));
  object.set("public_key_sha256", publicKeyFingerprint(certificate));
  return object;
}

}  // namespace egalaxyd
