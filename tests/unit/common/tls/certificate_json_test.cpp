#include "common/tls/certificate_json.h"

#include <Poco/JSON/Array.h>
#include <gtest/gtest.h>

#include "common/tls/certificate_advice.h"
#include "common/tls/certificate_names.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

TEST(CertificateJson, TellsWhetherItExpiresSoon) {
  const struct {
    int fromDays;
    int toDays;
    const char* validity;
  } cases[] = {{-1, kExpiresSoonDays + 1, "valid"},
               {-1, kExpiresSoonDays - 1, "expires soon"},
               {-9, -1, "expired"},
               {2, 9, "not yet"}};
  for (const auto& c : cases) {
    const auto made = makeTestCertificate({.fromDays = c.fromDays, .toDays = c.toDays});
    const auto told = describeCertificate(made.certificate.get());
    EXPECT_EQ(told.getValue<std::string>("validity"), c.validity);
    EXPECT_EQ(told.getValue<std::string>("sha256"), certificateFingerprint(made.certificate.get()));
    EXPECT_EQ(told.getValue<std::string>("subject"), "CN=Alice");
  }
}

}  // namespace
}  // namespace egalaxyd
