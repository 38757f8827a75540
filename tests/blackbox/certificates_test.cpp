// Certificates that are renewed under a running server, and those that are handed to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"
#include "tests/support/capsule.h"
#include "tests/support/load.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Certificates : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# One\n");
    capsule.set("tls.watch", "\"1s\"");
  }
  /// Makes NAME.crt and NAME.key anew; its SHA-256.
  std::string make(const std::string& name, const std::string& host = "localhost") const {
    const auto made = makeSelfSigned({host});
    EXPECT_TRUE(made);
    fs::remove(capsule.dir() / (name + ".crt"));
    fs::remove(capsule.dir() / (name + ".key"));
    EXPECT_TRUE(writeKeyedCertificate(*made, capsule.dir() / (name + ".crt"),
                                      capsule.dir() / (name + ".key")));
    return certificateFingerprint(made->chain.front().get());
  }
  std::string useOwn() {
    capsule.set("tls.certificate", "\"own.crt\"");
    capsule.set("tls.key", "\"own.key\"");
    return make("own");
  }
  std::string served() const {
    GeminiClient client(capsule.port());
    EXPECT_TRUE(client.handshake()) << client.error();
    return client.serverFingerprint();
  }
  bool comesToServe(const std::string& fingerprint) const {
    return eventually([&] { return served() == fingerprint; });
  }
  Finished install(const std::string& host, const std::string& name) const {
    return capsule.ctl({"certificate", "install", host, "--cert", capsule.dir() / (name + ".crt"),
                        "--key", capsule.dir() / (name + ".key")});
  }
  /// Runs a hook as its program does, in the capsule's folder.
  int hook(const std::string& name, std::map<std::string, std::string> environment) const {
    const std::string ctl = "#!/bin/sh\nexec '" + programPath("egalaxyctl") + "' --socket '" +
                            capsule.controlSocket().string() + "' \"$@\"\n";
    fs::permissions(capsule.dir().write("bin/egalaxyctl", ctl), fs::perms::owner_all);
    environment["PATH"] = (capsule.dir() / "bin").string() + ":/usr/bin:/bin";
    const Finished done = runProgram({"/bin/sh", EGALAXYD_HOOKS "/" + name}, capsule.dir().path(),
                                     std::move(environment));
    told_ = done.all();
    return done.status.code;
  }

  mutable std::string told_;  ///< by the last hook
  Capsule capsule;
};

TEST_F(Certificates, ThatChangeAreTakenUpByThemselvesAndAnEditedConfigurationIsNot) {
  const std::string first = useOwn();
  capsule.start();
  EXPECT_EQ(served(), first);
  Load load(capsule.port(), capsule.url("/"), 2);
  capsule.dir().write("egalaxyd.toml", "[nonsense\n");
  const std::string second = make("own");
  EXPECT_TRUE(comesToServe(second)) << capsule.log();
  load.stop();
  EXPECT_EQ(load.failed(), 0U) << load.failures();
  EXPECT_TRUE(capsule.waitForLog("localhost has another public key")) << capsule.log();
  EXPECT_TRUE(capsule.waitForLog("generation 2")) << capsule.log();
  EXPECT_FALSE(capsule.logContains("nonsense")) << capsule.log();
}

TEST_F(Certificates, ThatAreBrokenLeaveTheOldOneWithOneWarningAndDoNotHinderOthers) {
  const std::string first = useOwn();
  const std::string other = make("other", "other.test");
  capsule.sites(
      "[sites.localhost]\nroot = \"root\"\n[sites.\"other.test\"]\nroot = \"root\"\n"
      "certificate = \"other.crt\"\nkey = \"other.key\"\n");
  capsule.start();
  capsule.dir().write("own.key", "half a key");
  const std::string warning = "own.key: not a private key";
  ASSERT_TRUE(capsule.waitForLog(warning)) << capsule.log();
  const std::size_t mark = capsule.logMark();
  EXPECT_THAT(capsule.ctl({"status"}).out, HasSubstr("certificate not taken up: "));

  const std::string renewed = make("other", "other.test");
  TlsSettings asOther;
  asOther.serverName = "other.test";
  EXPECT_TRUE(eventually([&] {
    GeminiClient client(capsule.port(), asOther);
    return client.handshake() && client.serverFingerprint() == renewed;
  })) << capsule.log();
  EXPECT_NE(other, renewed);
  EXPECT_EQ(served(), first);

  const std::string whole = make("own");
  EXPECT_TRUE(comesToServe(whole)) << capsule.log();
  EXPECT_FALSE(capsule.logContains(warning, mark)) << capsule.log();
  EXPECT_THAT(capsule.ctl({"status"}).out, Not(HasSubstr("not taken up")));
}

TEST_F(Certificates, StayAsTheyAreWithoutTheWatchUntilAReload) {
  capsule.set("tls.watch", "false");
  const std::string first = useOwn();
  capsule.start();
  const std::string second = make("own");
  EXPECT_EQ(served(), first);
  capsule.reload();
  EXPECT_TRUE(comesToServe(second));
}

TEST_F(Certificates, ThatAreInstalledAreServedAtOnce) {
  capsule.start();
  const std::string automatic = served();
  const std::string made = make("new");
  const Finished done = install("localhost", "new");
  EXPECT_EQ(done.status.code, 0) << done.all();
  EXPECT_THAT(done.out, HasSubstr("localhost: installed, and served, until 4096"));
  EXPECT_TRUE(comesToServe(made)) << capsule.log();
  EXPECT_NE(automatic, made);
  EXPECT_THAT(capsule.ctl({"certificate", "list"}).out,
              AllOf(HasSubstr("installed"), HasSubstr("localhost.pem")));
  EXPECT_TRUE(capsule.waitForLog("localhost has another public key")) << capsule.log();
  const Finished again = install("localhost", "new");
  EXPECT_EQ(again.status.code, 0) << again.all();
  EXPECT_THAT(again.out, HasSubstr("installed already"));
  EXPECT_FALSE(capsule.logContains("generation 3"));
}

TEST_F(Certificates, ThatAreInstalledAreServedAfterARestartAndRenewedStill) {
  capsule.start();
  std::string made = make("new");
  EXPECT_EQ(install("localhost", "new").status.code, 0);
  for (int restart = 0; restart < 2; ++restart) {
    EXPECT_TRUE(comesToServe(made)) << capsule.log();
    capsule.stop();
    capsule.start();
    EXPECT_EQ(served(), made) << "after a start nothing is served before it";
    EXPECT_THAT(capsule.ctl({"certificate", "list"}).out, HasSubstr("installed"));
    made = make("new");
    const Finished renewed = install("localhost", "new");
    EXPECT_EQ(renewed.status.code, 0) << renewed.all();
    EXPECT_THAT(renewed.out, HasSubstr("localhost: installed, and served"));
  }
  EXPECT_TRUE(comesToServe(made)) << capsule.log();
}

TEST_F(Certificates, AreNotInstalledWhereTheyDoNotBelong) {
  useOwn();
  capsule.unset("tls.certificate");
  capsule.unset("tls.key");
  capsule.sites(
      "[sites.localhost]\nroot = \"root\"\n[sites.\"own.test\"]\nroot = \"root\"\n"
      "certificate = \"own.crt\"\nkey = \"own.key\"\n");
  capsule.start();
  make("new");
  make("foreign", "foreign.test");
  const std::string before = served();
  const auto refused = [&](const std::string& host, const std::string& name, int code,
                           const std::string& why) {
    const Finished done = install(host, name);
    EXPECT_EQ(done.status.code, code) << done.all();
    EXPECT_THAT(done.err, HasSubstr(why));
  };
  refused("localhots", "new", 68, "did you mean localhost?");
  refused("own.test", "new", 1, "own.crt");
  refused("localhost", "foreign", 65, "does not name localhost");
  makeTestCertificate({.commonName = "localhost", .fromDays = -9, .toDays = -2})
      .writePem(capsule.dir() / "old.crt", capsule.dir() / "old.key");
  refused("localhost", "old", 65, "expired");
  makeTestCertificate({.key = KeyKind::kSecp256k1, .commonName = "localhost"})
      .writePem(capsule.dir() / "odd.crt", capsule.dir() / "odd.key");
  refused("localhost", "odd", 65, "no client takes");
  fs::copy_file(capsule.dir() / "foreign.key", capsule.dir() / "new.key",
                fs::copy_options::overwrite_existing);
  refused("localhost", "new", 65, "does not belong");
  EXPECT_EQ(capsule.ctl({"certificate", "install", "localhost"}).status.code, 64);
  EXPECT_EQ(served(), before);
  EXPECT_FALSE(fs::exists(capsule.dir() / "state/certificates/localhost.pem"));
}

TEST_F(Certificates, ComeFromCertbotAndAcmeShByTheirHooks) {
  capsule.start();
  const std::string first = make("made");
  fs::create_directories(capsule.dir() / "live/localhost");
  const auto lineage = [&](const char* file) { return capsule.dir() / "live/localhost" / file; };
  fs::create_symlink("../../made.crt", lineage("fullchain.pem"));
  fs::create_symlink("../../made.key", lineage("privkey.pem"));
  const std::string live = (capsule.dir() / "live/localhost").string();
  EXPECT_EQ(hook("certbot-deploy",
                 {{"RENEWED_LINEAGE", live}, {"RENEWED_DOMAINS", "web.test localhost"}}),
            0)
      << told_;
  EXPECT_TRUE(comesToServe(first)) << capsule.log();
  const std::string second = make("made");
  EXPECT_EQ(hook("acme-reload", {{"Le_Domain", "localhost"},
                                 {"CERT_FULLCHAIN_PATH", "made.crt"},
                                 {"CERT_KEY_PATH", "made.key"}}),
            0)
      << told_;
  EXPECT_TRUE(comesToServe(second)) << capsule.log();
  make("made", "foreign.test");
  EXPECT_EQ(hook("certbot-deploy", {{"RENEWED_LINEAGE", live}, {"RENEWED_DOMAINS", "localhost"}}),
            65)
      << told_;
}

}  // namespace
}  // namespace egalaxyd
