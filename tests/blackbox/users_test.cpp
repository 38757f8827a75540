// What the server remembers of those who show a certificate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "common/certificate_names.h"
#include "tests/support/capsule.h"
#include "tests/support/deadline.h"
#include "tests/support/signed_certificate.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

class UsersOf : public testing::Test {
 protected:
  UsersOf() {
    settings.certificate = &alice;
    capsule.sites(
        "[sites.\"localhost\".\"/me\"]\nmodule = \"spy\"\n"
        "[sites.\"localhost\".\"/say\"]\nmodule = \"input\"\nas_meta = true\nkey = \"said\"\n");
    capsule.start();
  }
  void say(const std::string& word) {
    const Reply reply = capsule.get("/say?" + word, settings);
    ASSERT_EQ(reply.status, 20) << reply;
  }
  std::string me() { return capsule.get("/me", settings).body; }

  Capsule capsule;
  const TestCertificate alice = makeTestCertificate();
  TlsSettings settings;
};

TEST_F(UsersOf, AllWorkersKnowWhatOneHasStored) {
  for (int i = 0; i < 10; ++i) {
    const std::string word = "word" + std::to_string(i);
    say(word);
    EXPECT_THAT(me(), HasSubstr("  said: " + word + "\n"));
  }
  for (std::size_t worker = 0; worker < 2; ++worker) {
    const auto before = capsule.workerPids();
    capsule.killWorker(0);
    ASSERT_TRUE(eventually([&] {
      const auto now = capsule.workerPids();
      return now.size() == 2 && now != before;
    }));
  }
  EXPECT_THAT(me(), HasSubstr("  said: word9\n"));
}

TEST_F(UsersOf, WhatWasAcknowledgedSurvivesTheDeathOfEverything) {
  for (const char* word : {"one", "two", "three"}) {
    say(word);
    std::vector<pid_t> all = capsule.workerPids();
    all.insert(all.begin(), capsule.masterPid());
    for (const pid_t pid : all) ::kill(pid, SIGKILL);
    ASSERT_TRUE(capsule.process().wait());
    ASSERT_TRUE(eventually([&] { return !capsule.process().groupLives(); }));
    capsule.start();
    EXPECT_THAT(me(), HasSubstr(std::string("  said: ") + word + "\n"));
  }
}

TEST_F(UsersOf, ARenewedCertificateWithTheSameKeyIsTheSameUser) {
  say("hello");
  TestCertificate renewed = makeTestCertificate({.commonName = "Alice again"});
  EVP_PKEY_up_ref(alice.key.get());
  renewed = withKey(std::move(renewed), KeyPtr(alice.key.get()));
  settings.certificate = &renewed;
  EXPECT_THAT(me(), HasSubstr("  said: hello\n"));
  EXPECT_THAT(me(), HasSubstr("  id: " + certificateFingerprint(alice.certificate.get()) + "\n"));
}

TEST_F(UsersOf, VisitsAreCountedWithinASecond) {
  for (int i = 0; i < 3; ++i) me();
  EXPECT_TRUE(eventually([&] {
    const std::string page = me();
    const auto at = page.find("  visits: ");
    return at != std::string::npos && std::stoi(page.substr(at + 10)) >= 3;
  }));
}

}  // namespace
}  // namespace egalaxyd
