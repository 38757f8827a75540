#include "master/supervise/certificate_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/tls/certificate_files.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class CertificateWatchTest : public testing::Test {
 protected:
  static ServedCertificate served(const fs::path& certificate, const fs::path& key) {
    const auto identity = readKeyedCertificate(certificate, key);
    return {.file = certificate,
            .key = key,
            .digest = identity ? chainDigest(identity->chain) : std::string("none")};
  }
  void write(const std::string& name) const {
    makeTestCertificate().writePem(dir_ / (name + ".crt"), dir_ / (name + ".key"));
  }
  void serve(const std::string& name) {
    write(name);
    served_.push_back(served(dir_ / (name + ".crt"), dir_ / (name + ".key")));
  }
  CertificateWatch::Outcome look() {
    return watch_.judge(watch_.look(served_, dir_.path()), served_);
  }

  TempDir dir_;
  CertificateWatch watch_;
  std::vector<ServedCertificate> served_;
};

TEST_F(CertificateWatchTest, OpensNothingThatHasNotChangedSinceItWasJudged) {
  serve("a");
  EXPECT_THAT(watch_.look(served_, dir_.path()), HasSubstr("0 s "));
  EXPECT_FALSE(look().renew);
  EXPECT_EQ(watch_.look(served_, dir_.path()), "");
  watch_.startOver();
  EXPECT_NE(watch_.look(served_, dir_.path()), "");
}

TEST_F(CertificateWatchTest, TakesAChangeThatTwoLooksFoundAlike) {
  serve("a");
  serve("b");
  look();
  write("b");
  const auto first = look();
  EXPECT_TRUE(first.again);
  EXPECT_FALSE(first.renew);
  write("b");
  EXPECT_FALSE(look().renew);
  const auto last = look();
  EXPECT_FALSE(last.again);
  EXPECT_TRUE(last.renew);
  EXPECT_THAT(last.news, ElementsAre(HasSubstr("b.crt: there is another certificate")));
  EXPECT_FALSE(look().renew) << "asked for once";
}

TEST_F(CertificateWatchTest, FollowsLinksAsCertbotTurnsThem) {
  serve("archive1");
  write("archive2");
  const fs::path live = dir_ / "live.crt";
  const fs::path key = dir_ / "live.key";
  fs::create_symlink("archive1.crt", live);
  fs::create_symlink("archive1.key", key);
  served_ = {served(live, key)};
  EXPECT_FALSE(look().again);
  fs::remove(live);
  fs::create_symlink("archive2.crt", live);
  look();
  const auto torn = look();
  EXPECT_FALSE(torn.renew) << "the key is still the old one";
  EXPECT_THAT(torn.warnings, SizeIs(1));
  fs::remove(key);
  fs::create_symlink("archive2.key", key);
  look();
  EXPECT_TRUE(look().renew);
}

TEST_F(CertificateWatchTest, IsSilentAboutTheSameContentWrittenAnew) {
  serve("a");
  look();
  fs::copy_file(dir_ / "a.crt", dir_ / "copy");
  fs::rename(dir_ / "copy", dir_ / "a.crt");
  const auto outcome = look();
  EXPECT_FALSE(outcome.again || outcome.renew);
  EXPECT_THAT(outcome.news, IsEmpty());
}

TEST_F(CertificateWatchTest, TellsAFaultOnceAndThatItHasGone) {
  serve("a");
  look();
  const std::string good = dir_.read("a.key");
  dir_.write("a.key", "no key");
  EXPECT_THAT(look().warnings, IsEmpty()) << "it may be being written";
  EXPECT_THAT(look().warnings, ElementsAre(HasSubstr("a.key: not a private key")));
  EXPECT_THAT(watch_.troubles(), SizeIs(1));
  EXPECT_THAT(look().warnings, IsEmpty());
  watch_.startOver();
  look();
  EXPECT_THAT(look().warnings, IsEmpty());
  dir_.write("a.key", good);
  EXPECT_THAT(look().news, ElementsAre(HasSubstr("whole again")));
  EXPECT_THAT(watch_.troubles(), IsEmpty());
}

TEST_F(CertificateWatchTest, NoticesWhatWasInstalledBesideAnAutomaticOne) {
  const AutomaticFiles files(dir_.path(), "a.test");
  fs::create_directory(files.folder);
  makeTestCertificate().writePem(files.certificate, files.key);
  served_ = {served(files.certificate, files.key)};
  served_.front().origin = CertificateOrigin::kAutomatic;
  served_.front().owner = "a.test";
  EXPECT_FALSE(look().again);
  const auto made = makeSelfSigned({"a.test"});
  ASSERT_TRUE(made && replaceKeyedCertificate(*made, files.installed));
  look();
  EXPECT_TRUE(look().renew);
  fs::remove(files.installed);
  fs::remove(files.certificate);
  const auto away = look();
  EXPECT_THAT(away.warnings, IsEmpty()) << "a reload makes it anew";
  EXPECT_FALSE(away.again);
}

TEST_F(CertificateWatchTest, BelievesNoNonsense) {
  serve("a");
  for (const char* found : {"x", "0", "9 o - -\n", "0 \n", "-1 o x\n", "\n\n", "0o\n"}) {
    const auto outcome = watch_.judge(found, served_);
    EXPECT_FALSE(outcome.renew) << found;
    EXPECT_THAT(outcome.warnings, IsEmpty()) << found;
  }
}

}  // namespace
}  // namespace egalaxyd
