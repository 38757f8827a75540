// Parts of a capsule for holders of a client certificate: 60, 61, 62 as clients meet them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/tls/certificate_names.h"
#include "tests/support/capsule.h"
#include "tests/support/signed_certificate.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

TlsSettings with(const TestCertificate& certificate) {
  TlsSettings settings;
  settings.certificate = &certificate;
  return settings;
}

std::string area(const std::string& path, const std::string& keys) {
  return "[sites.\"localhost\".\"" + path + "\"]\nmodule = \"authenticated\"\n" + keys +
         "\n[sites.\"localhost\".\"" + path + "\".sites.\"/\"]\nmodule = \"directory\"\n" +
         "root = \"members\"\n";
}

class Authenticated : public testing::Test {
 protected:
  void serve(const std::string& keys = "") {
    capsule.page("index.gmi", "public\n");
    capsule.dir().write("members/index.gmi", "welcome\n");
    capsule.dir().write("members/sub/page.gmi", "deep\n");
    capsule.sites("[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \"root\"\n" +
                  area("/area", keys));
    capsule.start();
  }
  std::string areaHeader(const TestCertificate& certificate) {
    return capsule.get("/area/", with(certificate)).header;
  }

  Capsule capsule;
};

TEST_F(Authenticated, ACertificateIsGoodForThePathAndAllBelow) {
  serve("prompt = \"Members only\"");
  const TestCertificate alice = makeTestCertificate();
  for (const char* path : {"/area", "/area/", "/area/sub/page.gmi", "/area/nowhere"}) {
    EXPECT_EQ(capsule.get(path).header, "60 Members only") << path;
  }
  EXPECT_EQ(capsule.get("/area", with(alice)).header, "31 " + capsule.url("/area/"));
  EXPECT_EQ(capsule.get("/area/", with(alice)).body, "welcome\n");
  EXPECT_EQ(capsule.get("/area/sub/page.gmi", with(alice)).body, "deep\n");
  EXPECT_EQ(capsule.get("/area/nowhere", with(alice)).status, 51);
  EXPECT_EQ(capsule.get("/areas", with(alice)).status, 51) << "no part of it";
  EXPECT_EQ(capsule.get("/").body, "public\n");
}

TEST_F(Authenticated, EveryKindOfCertificateIsUnderstood) {
  serve();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const CertificateWish& wish :
         {CertificateWish{}, CertificateWish{.key = KeyKind::kP384},
          CertificateWish{.key = KeyKind::kEd25519}, CertificateWish{.key = KeyKind::kRsa2048},
          CertificateWish{.key = KeyKind::kRsa2048, .version1 = true},
          CertificateWish{.commonName = ""}, CertificateWish{.commonName = "Zoë 🌌"}}) {
      const TestCertificate certificate = makeTestCertificate(wish);
      TlsSettings settings = with(certificate);
      settings.minVersion = settings.maxVersion = version;
      const Reply reply = capsule.get("/area/", settings);
      EXPECT_EQ(reply.body, "welcome\n") << wish.commonName << reply;
    }
  }
  const TestCertificate large = withKey(makeTestCertificate(), KeyPtr(EVP_RSA_gen(4096)));
  EXPECT_EQ(capsule.get("/area/", with(large)).status, 20);
}

TEST_F(Authenticated, ACertificateThatIsWrongInItselfMattersOnlyThere) {
  const TestCertificate expired = makeTestCertificate({.fromDays = -9, .toDays = -1});
  const TestCertificate future = makeTestCertificate({.fromDays = 1});
  const TestCertificate forged = makeTestCertificate({.foreignSignature = true});
  serve("fingerprints = [\"SHA256:" + certificateFingerprint(expired.certificate.get()) + "\"]");
  EXPECT_EQ(areaHeader(expired), "62 Your certificate has expired");
  EXPECT_EQ(areaHeader(future), "62 Your certificate is not valid yet");
  EXPECT_EQ(areaHeader(forged), "62 Your certificate's signature is wrong");
  for (const TestCertificate* certificate : {&expired, &future, &forged}) {
    const Reply reply = capsule.get("/", with(*certificate));
    EXPECT_EQ(reply.body, "public\n") << reply;
    EXPECT_TRUE(capsule.get("/area/", with(*certificate)).complete());
  }
  EXPECT_EQ(capsule.get("/area/").status, 60) << "after failures the server is as before";
}

TEST_F(Authenticated, FingerprintsNameCertificatesOrKeys) {
  const TestCertificate alice = makeTestCertificate();
  const TestCertificate bob = makeTestCertificate({.key = KeyKind::kEd25519});
  const TestCertificate eve = makeTestCertificate();
  std::string upper = certificateFingerprint(alice.certificate.get());
  for (char& c : upper) c = c >= 'a' ? static_cast<char>(c - 32) : c;
  serve("fingerprints = [\"SHA256:" + upper + "\", \"" +
        publicKeyFingerprint(bob.certificate.get()) + "\"]");
  EXPECT_THAT(areaHeader(alice), HasSubstr("20 "));
  EXPECT_THAT(areaHeader(bob), HasSubstr("20 "));
  EXPECT_EQ(areaHeader(eve), "61 Your certificate is not admitted here");
}

TEST_F(Authenticated, AnAuthoritySaysWhoIsAMember) {
  const TestCertificate authority = makeAuthority({.commonName = "Club"});
  authority.writePem(capsule.dir() / "ca.pem", capsule.dir() / "ca.key");
  serve("ca = \"ca.pem\"");
  EXPECT_THAT(areaHeader(signedBy(authority)), HasSubstr("20 "));
  EXPECT_EQ(areaHeader(makeTestCertificate()), "61 Your certificate is not admitted here");
  EXPECT_EQ(areaHeader(signedBy(authority, {.fromDays = -9, .toDays = -1})),
            "62 Your certificate has expired");
  EXPECT_EQ(areaHeader(signedBy(authority, makeTestCertificate().key.get())),
            "62 Your certificate's signature is wrong");
}

TEST_F(Authenticated, AreasNestAndEachKeepsItsOwnDoor) {
  const TestCertificate alice = makeTestCertificate();
  const TestCertificate bob = makeTestCertificate();
  capsule.sites(
      "[sites.\"localhost\".\"/a\"]\nmodule = \"authenticated\"\n"
      "[sites.\"localhost\".\"/a\".sites.\"/\"]\nmodule = \"reply\"\nstatus = 20\n"
      "meta = \"text/plain\"\nbody = \"outer\"\n"
      "[sites.\"localhost\".\"/a\".sites.\"/b\"]\nmodule = \"authenticated\"\nfingerprints = [\"" +
      certificateFingerprint(bob.certificate.get()) +
      "\"]\n[sites.\"localhost\".\"/a\".sites.\"/b\".sites.\"/c/d\"]\nmodule = \"redirect\"\n"
      "to = \"/x%path%\"\n");
  capsule.start();
  EXPECT_EQ(capsule.get("/a/b/c/d/e").status, 60);
  EXPECT_EQ(capsule.get("/a/b/c/d/e", with(alice)).status, 61);
  EXPECT_EQ(capsule.get("/a/b/c/d/e", with(bob)).header, "30 /x/e");
  EXPECT_EQ(capsule.get("/a/b/c", with(bob)).status, 51);
  EXPECT_EQ(capsule.get("/a/bc", with(alice)).body, "outer");
}

TEST_F(Authenticated, AnAuthorityThatCannotBeReadFailsTheStart) {
  capsule.sites(area("/area", "ca = \"nowhere.pem\""));
  capsule.dir().write("members/index.gmi", "x");
  try {
    capsule.start();
    FAIL() << "it started";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("sites.localhost.\"/area\""));
    EXPECT_THAT(error.what(), HasSubstr("nowhere.pem"));
  }
}

}  // namespace
}  // namespace egalaxyd
