#include "ctl/client/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/tls/certificate_names.h"
#include "common/tls/client_certificate.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd::ctl {
namespace {

using testing::HasSubstr;

TEST(Identity, IsFoundInOneFile) {
  const TempDir folder;
  const auto made = makeClientCertificate("Ada");
  ASSERT_TRUE(made && writeIdentity(*made, folder / "Ada.pem"));
  const auto found = readIdentity(folder / "Ada.pem", std::nullopt);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(certificateFingerprint(found->chain.front().get()),
            certificateFingerprint(made->chain.front().get()));
}

TEST(Identity, IsFoundWithItsKeyBesideIt) {
  const TempDir folder;
  makeTestCertificate().writePem(folder / "x.crt", folder / "x.key");
  EXPECT_TRUE(readIdentity(folder / "x.crt", std::nullopt).ok());
  std::filesystem::rename(folder / "x.key", folder / "y.key");
  EXPECT_TRUE(readIdentity(folder / "x.crt", (folder / "y.key").string()).ok());
}

TEST(Identity, SaysWhereAKeyWasLookedFor) {
  const TempDir folder;
  makeTestCertificate().writePem(folder / "x.crt", folder / "elsewhere");
  const auto found = readIdentity(folder / "x.crt", std::nullopt);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(found.error().message, HasSubstr((folder / "x.crt").string()));
  EXPECT_THAT(found.error().message, HasSubstr((folder / "x.key").string()));
  EXPECT_THAT(found.error().message, HasSubstr("--key"));
  makeTestCertificate().writePem(folder / "other.crt", folder / "x.key");
  EXPECT_THAT(readIdentity(folder / "x.crt", std::nullopt).error().message,
              HasSubstr("does not belong"));
}

TEST(Identity, SaysThatTheCertificateItselfIsMissing) {
  const TempDir folder;
  const auto found = readIdentity(folder / "none.crt", std::nullopt);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(found.error().message, testing::Not(HasSubstr("none.key")));
}

}  // namespace
}  // namespace egalaxyd::ctl
