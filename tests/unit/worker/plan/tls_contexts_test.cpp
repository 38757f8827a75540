#include "worker/plan/tls_contexts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/config/config_loader.h"
#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

using std::chrono::days;
using std::chrono::system_clock;
using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

/// Where the one complaint about this [tls], and about the same keys of a site, stands.
std::pair<std::string, std::string> complaintsOf(const std::filesystem::path& certificate,
                                                 const std::filesystem::path& key) {
  const auto keys =
      "\ncertificate = \"" + certificate.string() + "\"\nkey = \"" + key.string() + "\"\n";
  const auto where = [](const std::string& toml) {
    Findings findings;
    TlsContexts::build(parseConfig(toml, "e.toml").config, false, findings);
    const Complaints& complaints = findings.complaints;
    return complaints.size() == 1 ? complaints[0].where : std::to_string(complaints.size());
  };
  return {where("[tls]" + keys), where("[sites.\"a.b\"]" + keys)};
}

TEST(TlsContexts, ComplainOfTheLineThatNamesTheFileAtFault) {
  const TempDir dir;
  for (const char* name : {"a", "b"}) {
    const auto file = dir / name;
    const auto made = makeSelfSigned({name});
    ASSERT_TRUE(made &&
                writeKeyedCertificate(*made, file.string() + ".crt", file.string() + ".key"));
  }
  const auto garbage = dir.write("garbage", "x");
  const std::pair<std::string, std::string> certificate{"e.toml:2: tls.certificate",
                                                        "e.toml:2: sites.\"a.b\".certificate"};
  const std::pair<std::string, std::string> key{"e.toml:3: tls.key", "e.toml:3: sites.\"a.b\".key"};
  EXPECT_EQ(complaintsOf(dir / "none", dir / "a.key"), certificate);
  EXPECT_EQ(complaintsOf(garbage, dir / "none"), certificate);
  EXPECT_EQ(complaintsOf(dir / "a.crt", dir / "none"), key);
  EXPECT_EQ(complaintsOf(dir / "a.crt", garbage), key);
  EXPECT_EQ(complaintsOf(dir / "a.crt", dir / "b.key"), key);
}

class TlsContextsTest : public testing::Test {
 protected:
  TlsContextsTest() { config_.server.stateDir = state_.path(); }

  SiteConfig& serve(const std::string& host, std::vector<std::string> aliases = {}) {
    SiteConfig site;
    site.host = host;
    site.where = "e.toml:7: " + host;
    site.aliases = std::move(aliases);
    config_.sites.push_back(std::move(site));
    return config_.sites.back();
  }
  void useCertificate(const CertificateWish& wish) {
    makeTestCertificate(wish).writePem(state_ / "own.crt", state_ / "own.key");
    config_.tls.certificate = state_ / "own.crt";
    config_.tls.key = state_ / "own.key";
  }
  Complaints build() {
    Findings found;
    contexts_ = TlsContexts::build(config_, /*makeMissing=*/true, found);
    EXPECT_THAT(found.complaints, IsEmpty());
    return found.warnings;
  }
  std::vector<std::string> namesOf(std::size_t index) const {
    return certificateNames(contexts_->served().at(index).leaf);
  }

  TempDir state_;
  Config config_;
  std::unique_ptr<TlsContexts> contexts_;
};

TEST_F(TlsContextsTest, ACertificateOfItsOwnMakingIsFine) {
  serve("a.test", {"b.test", "192.0.2.7"});
  serve("*");
  EXPECT_THAT(build(), IsEmpty());
  EXPECT_THAT(build(), IsEmpty()) << "and when it is read again";
  EXPECT_THAT(namesOf(0), ElementsAre("a.test", "b.test", "192.0.2.7"));
}

TEST_F(TlsContextsTest, ACertificateForEveryHostNamesTheLoopbackToo) {
  serve("*");
  build();
  EXPECT_THAT(namesOf(0), testing::IsSupersetOf({"localhost", "127.0.0.1", "::1"}));
  EXPECT_THAT(certificateSubject(contexts_->served().at(0).leaf),
              AllOf(HasSubstr("CN=127.0.0.1"), HasSubstr("CN=::1")));
}

TEST_F(TlsContextsTest, AnEarlierCertificateForEveryHostMayDoWithoutTheLoopback) {
  serve("*");
  build();
  const auto files = state_ / "certificates";
  std::vector<std::string> names = namesOf(0);
  std::erase(names, "127.0.0.1");
  std::erase(names, "::1");
  std::filesystem::remove_all(files);
  std::filesystem::create_directory(files);
  const auto earlier = makeSelfSigned(names);
  ASSERT_TRUE(writeKeyedCertificate(*earlier, files / "_default.crt", files / "_default.key"));
  EXPECT_THAT(build(), IsEmpty());
  EXPECT_EQ(namesOf(0), names) << "it is kept";
}

TEST_F(TlsContextsTest, AnEarlierCertificateIsKeptWhereItDoesNotNameTheHost) {
  serve("a.test");
  build();
  const std::string before = certificateFingerprint(contexts_->served().at(0).leaf);
  config_.sites[0].aliases = {"b.test", "c.test"};
  EXPECT_THAT(build(),
              ElementsAre(AllOf(Field(&Complaint::where, "e.toml:7: a.test"),
                                Field(&Complaint::text,
                                      AllOf(HasSubstr("a.test.crt does not name b.test and 1 more"),
                                            HasSubstr("it is kept"))))));
  EXPECT_EQ(certificateFingerprint(contexts_->served().at(0).leaf), before);
}

TEST_F(TlsContextsTest, WarnsOfHostsThatTheCertificateOfAllDoesNotName) {
  useCertificate({.commonName = "a.test"});
  serve("a.test");
  serve("b.test");
  serve("*");
  EXPECT_THAT(build(), ElementsAre(AllOf(
                           Field(&Complaint::where, "e.toml:7: b.test"),
                           Field(&Complaint::text, HasSubstr("own.crt does not name b.test: ")))));
}

TEST_F(TlsContextsTest, WarnsOnceOfACertificateThatManyHostsShare) {
  useCertificate({.commonName = "a.test", .fromDays = -9, .toDays = -1});
  for (int i = 0; i < 9; ++i) serve("a.test");
  EXPECT_THAT(build(), ElementsAre(AllOf(Field(&Complaint::where, "tls.certificate"),
                                         Field(&Complaint::text, HasSubstr("expired at ")))));
}

TEST_F(TlsContextsTest, WarnsByTheTimeThatItIsGiven) {
  useCertificate({.commonName = "a.test", .toDays = 100});
  serve("a.test");
  EXPECT_THAT(build(), IsEmpty());
  const auto now = system_clock::now();
  const std::pair<days, const char*> cases[] = {{days(-9), " is valid from "},
                                                {days(71), " ends at "},
                                                {days(101), " expired at "},
                                                {days(40'000), " expired at "}};
  for (const auto& [later, text] : cases) {
    EXPECT_THAT(contexts_->warnings(now + later),
                ElementsAre(Field(
                    &Complaint::text,
                    AllOf(StartsWith(config_.tls.certificate.string() + ": "), HasSubstr(text)))));
  }
  EXPECT_THAT(contexts_->warnings(now + days(60)), IsEmpty());
}

}  // namespace
}  // namespace egalaxyd
