#include "common/tls/certificate_files.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

TEST(InstalledCertificate, HoldsBothFilesInOneThatIsReplacedWhole) {
  const TempDir dir;
  const auto first = makeSelfSigned({"a.test"});
  const auto second = makeSelfSigned({"a.test"});
  ASSERT_TRUE(first && second);
  const auto file = dir / "a.pem";
  for (const auto* identity : {&*first, &*second}) {
    ASSERT_TRUE(replaceKeyedCertificate(*identity, file));
    const auto read = readKeyedCertificate(file, file);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(chainDigest(read->chain), chainDigest(identity->chain));
  }
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(file).permissions(), perms::owner_read | perms::owner_write);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(InstalledCertificate, WinsOverAnAutomaticOne) {
  const TempDir dir;
  const AutomaticFiles files(dir.path(), "*.a.test");
  EXPECT_EQ(files.inUse().certificate, files.certificate);
  EXPECT_EQ(files.inUse().origin, CertificateOrigin::kAutomatic);
  dir.write("certificates/_wildcard.a.test.pem", "");
  EXPECT_EQ(files.inUse().certificate, files.installed);
  EXPECT_EQ(files.inUse().key, files.installed);
  EXPECT_EQ(files.inUse().origin, CertificateOrigin::kInstalled);
}

}  // namespace
}  // namespace egalaxyd
