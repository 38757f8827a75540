// What the server remembers of those who show a certificate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <vector>

#include "common/tls/certificate_names.h"
#include "tests/blackbox/ask_json.h"
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
        "[sites.\"localhost\".\"/say\"]\nmodule = \"input\"\nas_meta = true\nkey = \"said\"\n"
        "[sites.\"localhost\".\"/members\"]\nmodule = \"authenticated\"\n"
        "[sites.\"localhost\".\"/members\".sites.\"/\"]\nmodule = \"spy\"\n");
    capsule.set("users.new_per_minute", "3");
    capsule.start();
  }
  void say(const std::string& word) {
    const Reply reply = capsule.get("/say?" + word, settings);
    ASSERT_EQ(reply.status, 20) << reply;
  }
  int statusOf(const std::string& path, const TestCertificate& who) {
    TlsSettings theirs;
    theirs.certificate = &who;
    return capsule.get(path, theirs).status;
  }
  /// Ids of those whom the server keeps.
  std::vector<std::string> users() {
    std::vector<std::string> ids;
    const auto listed = askJson(capsule, {"users"})->getArray("users");
    for (std::size_t i = 0; i < listed->size(); ++i) {
      ids.push_back(listed->getObject(static_cast<unsigned>(i))->getValue<std::string>("id"));
    }
    return ids;
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

TEST_F(UsersOf, OnlyThoseForWhomSomethingIsKeptOrWhoWereLetIn) {
  const TestCertificate expired = makeTestCertificate({.fromDays = -9, .toDays = -1});
  EXPECT_EQ(statusOf("/me", expired), 20);
  EXPECT_EQ(statusOf("/members", expired), 62);
  EXPECT_EQ(statusOf("/say?x", expired), 62);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(statusOf("/me", makeTestCertificate()), 20);
  const TestCertificate bob = makeTestCertificate();
  EXPECT_EQ(statusOf("/members", bob), 20);
  say("hello");
  // Visits are at most a second late: those above were written, or left out, before this one.
  EXPECT_TRUE(eventually([&] { return users().size() >= 2; }));
  EXPECT_THAT(users(),
              testing::UnorderedElementsAre(certificateFingerprint(alice.certificate.get()),
                                            certificateFingerprint(bob.certificate.get())));
}

TEST_F(UsersOf, NoMoreComeToBeInAMinuteThanMay) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(statusOf("/say?x", makeTestCertificate()), 20);
  TlsSettings theirs;
  const TestCertificate late = makeTestCertificate();
  theirs.certificate = &late;
  const Reply refused = capsule.get("/say?x", theirs);
  EXPECT_EQ(refused.status, 41);
  EXPECT_EQ(refused.meta, "Too much is to be kept at once, try again in a minute");
  EXPECT_EQ(statusOf("/members", late), 20) << "it is let in all the same";
  EXPECT_EQ(users().size(), 3u);
}

TEST_F(UsersOf, VisitsAreCountedWithinASecond) {
  say("hello");
  for (int i = 0; i < 3; ++i) me();
  EXPECT_TRUE(eventually([&] {
    const std::string page = me();
    const auto at = page.find("  visits: ");
    return at != std::string::npos && std::stoi(page.substr(at + 10)) >= 3;
  }));
}

}  // namespace
}  // namespace egalaxyd
