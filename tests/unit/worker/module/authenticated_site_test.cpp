#include "worker/module/authenticated_site.h"

#include <gtest/gtest.h>

#include "common/tls/certificate_names.h"
#include "tests/support/deadline.h"
#include "tests/support/signed_certificate.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/worker/module/site_harness.h"
#include "worker/module/directory_site.h"
#include "worker/module/file_site.h"
#include "worker/module/reply_site.h"

namespace egalaxyd {
namespace {

/// Tells what it sees of a certificate; takes encoded slashes.
class TellingSite final : public Site {
 public:
  void handle(Request request, Responder reply, Services&) override {
    std::move(reply).send(Response::gemtext(request.certificateSigned ? "signed" : "unsigned"));
  }
  bool takesEncodedSlash(std::string_view) const override { return true; }
};

PathMap oneReply(const std::string& body = "in\n") {
  PathMap sites;
  sites.add("/", std::make_shared<ReplySite>(ReplyArgs{20, "text/gemini", body}));
  return sites;
}

class AuthenticatedSiteTest : public testing::Test {
 protected:
  CertificateAuthorities authority(const TestCertificate& made) {
    made.writePem(dir_ / "ca.pem", dir_ / "ca.key");
    return CertificateAuthorities::read(dir_ / "ca.pem").value();
  }

  Answer ask(const AuthenticatedArgs& args, const TestCertificate* certificate,
             std::optional<CertificateAuthorities> authorities = {}, std::string path = "/area") {
    AuthenticatedSite site(args, std::move(authorities), oneReply());
    Request request = requestFor(std::move(path), "/area");
    if (certificate != nullptr) request.identity = identityOf(*certificate);
    return harness_.ask(site, std::move(request));
  }

  TempDir dir_;
  SiteHarness harness_;
};

TEST_F(AuthenticatedSiteTest, AsksForACertificateInItsOwnWords) {
  AuthenticatedArgs args;
  args.prompt = "Who are you?";
  EXPECT_EQ(ask(args, nullptr).header(), "60 Who are you?");
}

TEST_F(AuthenticatedSiteTest, LetsEveryValidCertificateInWhereNoneIsChosen) {
  for (const CertificateWish& wish :
       {CertificateWish{}, CertificateWish{.key = KeyKind::kEd25519},
        CertificateWish{.key = KeyKind::kRsa2048, .version1 = true},
        CertificateWish{.commonName = ""}, CertificateWish{.commonName = "Zoë 🌌"}}) {
    const TestCertificate certificate = makeTestCertificate(wish);
    for (const char* path : {"/area", "/area/", "/area/a/b"}) {
      EXPECT_EQ(ask({}, &certificate, {}, path).status, 20) << wish.commonName << path;
    }
  }
}

TEST_F(AuthenticatedSiteTest, RefusesWhatIsWrongInItselfEvenWhenItIsListed) {
  const std::pair<CertificateWish, std::string> cases[] = {
      {{.fromDays = -9, .toDays = -1}, "62 Your certificate has expired"},
      {{.fromDays = 1}, "62 Your certificate is not valid yet"},
      {{.fromDays = 0, .fromSeconds = 6 * 60}, "62 Your certificate is not valid yet"},
      {{.foreignSignature = true}, "62 Your certificate's signature is wrong"},
      {{.key = KeyKind::kEd25519, .foreignSignature = true},
       "62 Your certificate's signature is wrong"}};
  for (const auto& [wish, expected] : cases) {
    const TestCertificate certificate = makeTestCertificate(wish);
    AuthenticatedArgs args;
    EXPECT_EQ(ask(args, &certificate).header(), expected);
    args.fingerprints = {certificateFingerprint(certificate.certificate.get())};
    EXPECT_EQ(ask(args, &certificate).header(), expected);
    args.fingerprints = {std::string(64, '0')};
    EXPECT_EQ(ask(args, &certificate).header(), expected) << "62 comes before 61";
  }
}

TEST_F(AuthenticatedSiteTest, AdmitsByCertificateOrByKey) {
  const TestCertificate alice = makeTestCertificate();
  const TestCertificate bob = makeTestCertificate();
  AuthenticatedArgs args;
  args.fingerprints = {certificateFingerprint(alice.certificate.get())};
  EXPECT_EQ(ask(args, &alice).status, 20);
  EXPECT_EQ(ask(args, &bob).header(), "61 Your certificate is not admitted here");
  args.fingerprints = {publicKeyFingerprint(bob.certificate.get())};
  EXPECT_EQ(ask(args, &alice).status, 61);
  EXPECT_EQ(ask(args, &bob).status, 20);
}

TEST_F(AuthenticatedSiteTest, AdmitsWhatAnAuthoritySigned) {
  const TestCertificate ca = makeAuthority({.commonName = "CA"});
  const TestCertificate member = signedBy(ca);
  const TestCertificate stranger = makeTestCertificate();
  const TestCertificate expired = signedBy(ca, {.fromDays = -9, .toDays = -1});
  const TestCertificate forged = signedBy(ca, stranger.key.get());
  EXPECT_EQ(ask({}, &member, authority(ca)).status, 20);
  EXPECT_EQ(ask({}, &stranger, authority(ca)).status, 61);
  EXPECT_EQ(ask({}, &expired, authority(ca)).status, 62);
  EXPECT_EQ(ask({}, &forged, authority(ca)).status, 62);
  AuthenticatedArgs either;
  either.fingerprints = {certificateFingerprint(stranger.certificate.get())};
  EXPECT_EQ(ask(either, &stranger, authority(ca)).status, 20);
  EXPECT_EQ(ask(either, &member, authority(ca)).status, 20);
}

TEST_F(AuthenticatedSiteTest, TellsWhetherAnAuthoritySigned) {
  const TestCertificate ca = makeAuthority({.commonName = "CA"});
  const TestCertificate member = signedBy(ca);
  const TestCertificate listed = makeTestCertificate();
  AuthenticatedArgs args;
  args.fingerprints = {certificateFingerprint(listed.certificate.get()),
                       certificateFingerprint(member.certificate.get())};
  PathMap sites;
  sites.add("/", std::make_shared<TellingSite>());
  AuthenticatedSite site(args, authority(ca), std::move(sites));
  const auto tells = [&](const TestCertificate& certificate) {
    Request request = requestFor("/area", "/area");
    request.identity = identityOf(certificate);
    return harness_.ask(site, std::move(request)).body;
  };
  EXPECT_EQ(tells(member), "signed");
  EXPECT_EQ(tells(listed), "unsigned");
}

TEST_F(AuthenticatedSiteTest, TakesEncodedSlashesWhereASiteInItDoes) {
  PathMap sites = oneReply();
  sites.add("/cgi-bin", std::make_shared<TellingSite>());
  const AuthenticatedSite site({}, std::nullopt, std::move(sites));
  EXPECT_TRUE(site.takesEncodedSlash("/cgi-bin/"));
  EXPECT_FALSE(site.takesEncodedSlash("/"));
}

TEST_F(AuthenticatedSiteTest, AdmitsWhoseClockIsAFewMinutesAhead) {
  const CertificateWish soon{.fromDays = 0, .fromSeconds = 4 * 60};
  const CertificateWish soonCa{.commonName = "CA", .fromDays = 0, .fromSeconds = 4 * 60};
  const TestCertificate alice = makeTestCertificate(soon);
  EXPECT_EQ(ask({}, &alice).status, 20);
  const TestCertificate ca = makeAuthority(soonCa);
  const TestCertificate member = signedBy(ca, soon);
  EXPECT_EQ(ask({}, &member, authority(ca)).status, 20);
  const TestCertificate late =
      makeAuthority({.commonName = "CA", .fromDays = 0, .fromSeconds = 6 * 60});
  const TestCertificate early = signedBy(late, soon);
  EXPECT_EQ(ask({}, &early, authority(late)).status, 61);
}

TEST_F(AuthenticatedSiteTest, AdmitsNobodyForAnAuthorityThatHasExpired) {
  const TestCertificate ca = makeAuthority({.commonName = "CA", .fromDays = -9, .toDays = -1});
  const TestCertificate member = signedBy(ca);
  EXPECT_EQ(ask({}, &member, authority(ca)).status, 61);
}

TEST_F(AuthenticatedSiteTest, MakesAUserOfWhomItLetsIn) {
  const TestCertificate alice = makeTestCertificate();
  const TestCertificate bob = makeTestCertificate();
  AuthenticatedArgs args;
  args.fingerprints = {certificateFingerprint(alice.certificate.get())};
  EXPECT_EQ(ask(args, &alice).status, 20);
  EXPECT_EQ(ask(args, &bob).status, 61);
  const auto isKnown = [&](const TestCertificate& who) {
    auto found = harness_.await(harness_.services().users.find(*identityOf(who)));
    return found && *found;
  };
  EXPECT_TRUE(eventually([&] { return isKnown(alice); })) << "up to a second later";
  EXPECT_FALSE(isKnown(bob));
}

TEST_F(AuthenticatedSiteTest, NamesAnAuthoritysFileThatCannotBeRead) {
  dir_.write("bad.pem", "nonsense");
  for (const char* name : {"bad.pem", "missing.pem"}) {
    const auto read = CertificateAuthorities::read(dir_ / name);
    ASSERT_FALSE(read) << name;
    EXPECT_NE(read.error().message.find(name), std::string::npos);
  }
}

TEST_F(AuthenticatedSiteTest, TellsStrangersNothingOfItsPaths) {
  PathMap sites;
  sites.add("/there", std::make_shared<ReplySite>(ReplyArgs{20, "text/gemini", "x"}));
  AuthenticatedSite site({}, {}, std::move(sites));
  EXPECT_EQ(harness_.ask(site, requestFor("/area/nowhere", "/area")).status, 60);
  const TestCertificate certificate = makeTestCertificate();
  Request request = requestFor("/area/nowhere", "/area");
  request.identity = identityOf(certificate);
  EXPECT_EQ(harness_.ask(site, request).status, 51);
  request.path = "/area/there/below";
  EXPECT_EQ(harness_.ask(site, request).status, 20);
}

TEST_F(AuthenticatedSiteTest, MovesTheMountForAFolderWithin) {
  dir_.write("root/index.gmi", "home");
  dir_.write("root/sub/index.gmi", "sub");
  DirectoryArgs folder;
  folder.root = dir_ / "root";
  PathMap sites;
  sites.add("/", std::make_shared<DirectorySite>(
                     "example.org", folder,
                     ServedRoot::openAt(folder.root, folder.symlinks,
                                        std::make_shared<const PrivateFiles>())
                         .value(),
                     std::make_shared<const PrivateFiles>()));
  sites.add("/deep/x",
            std::make_shared<FileSite>(FileArgs{dir_.write("note.txt", "note"), ""}, "", false));
  AuthenticatedSite site({}, {}, std::move(sites));
  const TestCertificate certificate = makeTestCertificate();
  const auto get = [&](const char* path) {
    Request request = requestFor(path, "/area");
    request.identity = identityOf(certificate);
    return harness_.ask(site, request);
  };
  EXPECT_EQ(get("/area").header(), "31 /area/");
  EXPECT_EQ(get("/area/").body, "home");
  EXPECT_EQ(get("/area/sub").header(), "31 /area/sub/");
  EXPECT_EQ(get("/area/sub/").body, "sub");
  EXPECT_EQ(get("/area/deep/x").body, "note");
}

TEST(ClientIdentity, HasANameForPeople) {
  ClientIdentity identity;
  EXPECT_EQ(identity.readableId(), "");
  identity.fingerprint = "7f000001ffff" + std::string(52, '0');
  EXPECT_EQ(identity.readableId(), "lusab-babad-zuzuz");
  EXPECT_EQ(identity.certificateId(), identity.fingerprint);
}

}  // namespace
}  // namespace egalaxyd
