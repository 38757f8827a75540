// Input: prompts, what becomes of the answer, and who may see it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::Not;

class Input : public testing::Test {
 protected:
  void serve(const std::string& keys) {
    capsule.sites("[sites.\"localhost\".\"/ask\"]\nmodule = \"input\"\n" + keys +
                  "\n[sites.\"localhost\".\"/ask\".sites.\"/\"]\nmodule = \"spy\"\n");
    capsule.start();
  }
  Capsule capsule;
};

TEST_F(Input, IsAskedForAndHandedOn) {
  serve("prompt = \"Your name?\"");
  EXPECT_EQ(capsule.get("/ask").header, "10 Your name?");
  EXPECT_EQ(capsule.get("/ask/").header, "10 Your name?");
  EXPECT_THAT(capsule.get("/ask?").body, HasSubstr("  input: \n"));
  EXPECT_THAT(capsule.get("/ask?a%20b+c").body, HasSubstr("  input: a b+c\n"));
  EXPECT_THAT(capsule.get("/ask/below?x").body, HasSubstr("  site path: /below\n"));
}

TEST_F(Input, LineBreaksOfBothKindsAreTheSame) {
  serve("");
  EXPECT_THAT(capsule.get("/ask?a%0Ab").body, HasSubstr("  input: a\\nb\n"));
  EXPECT_THAT(capsule.get("/ask?a%0D%0Ab").body, HasSubstr("  input: a\\nb\n"));
}

TEST_F(Input, WhatIsNoTextIsRefusedInWords) {
  serve("");
  for (const std::string& query : {std::string("%"), std::string("%zz"), std::string("%FF%FE"),
                                   std::string("a%00b"), std::string(1000, '%')}) {
    const Reply reply = capsule.get("/ask?" + query);
    EXPECT_EQ(reply.status, 59) << reply;
    EXPECT_NE(reply.meta, "");
    EXPECT_TRUE(reply.complete()) << reply;
  }
}

TEST_F(Input, ASecretReachesNoLog) {
  capsule.set("log.level", "\"trace\"");
  serve("sensitive = true");
  EXPECT_EQ(capsule.get("/ask").header, "11 Enter input");
  EXPECT_EQ(capsule.get("/ask?hunter2").status, 20);
  EXPECT_EQ(capsule.get("/ask/x?%FFhunter2").status, 59);
  EXPECT_TRUE(capsule.waitForLog("/ask/x?"));
  EXPECT_THAT(capsule.log(), Not(HasSubstr("hunter2")));
}

TEST_F(Input, IsKeptForWhoeverShowsACertificate) {
  const TestCertificate alice = makeTestCertificate();
  const TestCertificate expired = makeTestCertificate({.fromDays = -9, .toDays = -1});
  TlsSettings asAlice;
  asAlice.certificate = &alice;
  TlsSettings asExpired;
  asExpired.certificate = &expired;
  capsule.sites(
      "[sites.\"localhost\".\"/me\"]\nmodule = \"spy\"\n"
      "[sites.\"localhost\".\"/name\"]\nmodule = \"input\"\nas_meta = true\nkey = \"name\"\n"
      "cert_prompt = \"Who?\"\n");
  capsule.start();
  EXPECT_EQ(capsule.get("/name").header, "60 Who?");
  EXPECT_EQ(capsule.get("/name?x", asExpired).status, 62);
  EXPECT_EQ(capsule.get("/name", asAlice).header, "10 Enter input");
  EXPECT_EQ(capsule.get("/name?Alice%0D%0AB.", asAlice).body,
            "Your input has been saved.\n=> / Go on\n");
  EXPECT_THAT(capsule.get("/me", asAlice).body, HasSubstr("  name: Alice\\nB.\n"));
}

}  // namespace
}  // namespace egalaxyd
